//! The changes that somebody makes who is new here, each as small as it can be.

use super::change::{Change, Edit, Sign};

/// All of them; their titles are headings of CONTRIBUTING.md.
pub(super) const CHANGES: &[Change] = &[DROP_REASON, COMMAND, FEATURE, DATA_PATH];

const DROP_REASON: Change = Change {
    title: "A drop reason",
    edits: &[
        Edit::Before {
            file: "forwarder-common/src/types/verdict.rs",
            anchor: "    }\n}\n\n#[cfg(test)]\nmod tests {",
            text: "        /// Goes to port 0, at which nobody listens (RFC 6335 §6).\n        \
                   PortZero = 79 => \"A program inside has forgotten to set a port: `tcpdump` at the interface shows it.\",\n",
        },
        Edit::Before {
            file: "forwarder-common/src/decide/validate.rs",
            anchor: "#[cfg(test)]\nmod tests {",
            text: "/// Checks the port that a packet goes to.\n///\n/// # Errors\n/// [`DropReason::PortZero`].\n\
                   pub const fn destination_port(port: u16) -> Result<(), DropReason> {\n    \
                   if port == 0 { Err(DropReason::PortZero) } else { Ok(()) }\n}\n\n",
        },
    ],
    signs: &[
        Sign::Page {
            file: "docs/reasons.md",
            text: "| `PortZero` | Goes to port 0, at which nobody listens (RFC 6335 §6). |",
        },
        Sign::Printed { command: &["reasons", "PortZero"], text: "PortZero" },
    ],
};

const COMMAND: Change = Change {
    title: "A command of `fwd`",
    edits: &[
        Edit::New { file: "forwarder/src/cli/commands/reasons.rs", text: REASONS },
        Edit::Before { file: "forwarder/src/cli/commands/mod.rs", anchor: "mod reload;\n", text: "mod reasons;\n" },
        Edit::Before {
            file: "forwarder/src/cli/commands/mod.rs",
            anchor: "    /// Write completions for a shell\n",
            text: "    /// List reasons for drops, by way of example\n    #[command(after_help = reasons::HELP)]\n    \
                   Reasons(reasons::ReasonsArgs),\n",
        },
        Edit::Before {
            file: "forwarder/src/cli/commands/mod.rs",
            anchor: "            Self::Completions(args) =>",
            text: "            Self::Reasons(args) => Run::Anywhere(Box::new(|io| reasons::run(args, io))),\n",
        },
    ],
    signs: &[
        Sign::Page { file: "README.md", text: "| `fwd reasons` | List reasons for drops, by way of example |" },
        Sign::Printed { command: &["--help"], text: "List reasons for drops, by way of example" },
        Sign::Printed { command: &["reasons", "--help"], text: "fwd reasons Martian" },
        Sign::Printed { command: &["completions", "bash"], text: "reasons" },
    ],
};

const REASONS: &str = r#"//! `fwd reasons`.

use clap::Args;
use forwarder_common::types::verdict::DropReason;

use crate::{
    Result,
    cli::io::{Io, written},
};

/// Examples below the help.
pub(super) const HELP: &str = "\
Examples:
  fwd reasons Martian";

/// `fwd reasons`.
#[derive(Args, Debug)]
pub(crate) struct ReasonsArgs {
    /// Part of a name
    #[arg(value_name = "WORD")]
    word: String,
}

/// Prints the reasons with the word in their names.
pub(super) fn run(args: &ReasonsArgs, io: &mut Io<'_>) -> Result<()> {
    let found = DropReason::ALL.iter().filter(|reason| reason.name().contains(&args.word));
    found.into_iter().try_for_each(|reason| written(writeln!(io.out, "{}", reason.name())))
}
"#;

const FEATURE: Change = Change {
    title: "A feature of the kernel",
    edits: &[Edit::Before {
        file: "forwarder/crates/dataplane/src/features/table.rs",
        anchor: "    Feature {\n        name: \"BPF_MAP_TYPE_RINGBUF\",",
        text: "    Feature {\n        name: \"bpf_ktime_get_coarse_ns\",\n        since: \"5.11\",\n        \
               needed_for: \"a cheaper clock\",\n        without: Without::Slower(\"the exact one is read\"),\n        \
               parts: &[Part::Trace],\n        \
               probe: Probe { how: BY_CALL, ask: || ask::helper(BpfHelper::BPF_FUNC_ktime_get_coarse_ns) },\n    },\n",
    }],
    signs: &[Sign::Page {
        file: "docs/kernels.md",
        text: "| `bpf_ktime_get_coarse_ns` | `fwd trace` | 5.11 | a cheaper clock | the exact one is read |",
    }],
};

const DATA_PATH: Change = Change {
    title: "A data path",
    edits: &[
        Edit::Before {
            file: "forwarder-common/src/abi/endpoint.rs",
            anchor: "    /// The program is a filter of a clsact qdisc",
            text: "    /// Forwarded as an example (`--datapath copied`). Of the network.\n    \
                   pub const COPIED_DATAPATH: u32 = 1 << 31;\n",
        },
        Edit::Before {
            file: "forwarder/crates/plan/src/desired/datapath.rs",
            anchor: "}\n\n/// What is declared of a data path.",
            text: "    /// A copy of the first.\n    Copied,\n",
        },
        Edit::Instead {
            file: "forwarder/crates/plan/src/desired/datapath.rs",
            anchor: "pub const ALL: [Self; 4] = [",
            text: "pub const ALL: [Self; 5] = [Self::Copied, ",
        },
        Edit::Before {
            file: "forwarder/crates/plan/src/desired/datapath.rs",
            anchor: "            Self::Kernel => Row {",
            text: "            Self::Copied => Row {\n                name: \"copied\",\n                \
                   what: \"a copy of `tc`\",\n                when: \"never\",\n                \
                   flag: endpoint_flags::COPIED_DATAPATH,\n                ebpf: true,\n                xdp: false,\n                \
                   pair: PairKind::Veth,\n                needs_bridge: None,\n            },\n",
        },
        Edit::Instead {
            file: "docs/json.md",
            anchor: "| `datapath` | string | `tc`,",
            text: "| `datapath` | string | `copied`, `tc`,",
        },
    ],
    signs: &[
        Sign::Page { file: "README.md", text: "| `copied` | a copy of `tc` | never |" },
        Sign::Printed { command: &["up", "--help"], text: "copied: a copy of `tc`" },
        Sign::Printed { command: &["completions", "fish"], text: "copied" },
    ],
};
