//! README.md and docs/rfc.md: commands, options with their defaults, data paths, idle times.

use clap::{Arg, Command};
use forwarder_common::abi::Timeout;

use super::markdown::{code, table};
use crate::{
    cli::{declaration, defaults},
    dataplane::Sizes,
    reconcile::{Bridging, Datapath, Flows, IDLE_TIMES, IdleTime, Nat, seconds},
};

/// Every command with what it does.
pub(super) fn commands() -> String {
    let declared = declaration();
    let row = |(name, command): (String, &Command)| {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        [code(format!("fwd {name}")), about]
    };
    table(["command", "what it does"], with_subcommands(&declared).into_iter().map(row))
}

/// The commands that do something, by their words.
fn with_subcommands(command: &Command) -> Vec<(String, &Command)> {
    let below = |command: &'_ Command| command.get_name().to_owned();
    let mut all = Vec::new();
    for command in command.get_subcommands().filter(|command| !command.is_hide_set()) {
        if !command.is_subcommand_required_set() {
            all.push((below(command), command));
        }
        let inner = with_subcommands(command).into_iter();
        all.extend(inner.map(|(name, inner)| (format!("{} {name}", below(command)), inner)));
    }
    all
}

/// A row of the options that decide how packets are translated.
struct Row {
    /// Their names, by the command line's declaration.
    options: &'static [&'static str],
    what: fn() -> String,
    default: fn() -> String,
}

/// Options of `up` about NAT and the way packets take.
const OPTIONS: &[Row] = &[
    Row {
        options: &["nat-ports"],
        what: || {
            "external ports; 1024–65535 works beside the host's own sockets. Source ports below 1024 get 512–1023"
                .into()
        },
        default: defaults::nat_ports,
    },
    Row {
        options: &["max-flows", "max-flows-per-ns"],
        what: || "established flows, of all and of one namespace".into(),
        default: || format!("{}, half of it", defaults::max_flows()),
    },
    Row {
        options: &["timeout"],
        what: || "idle times, e.g. `tcp-established=2h4m`".into(),
        default: || "[by the RFCs](docs/rfc.md#idle-times)".into(),
    },
    Row { options: &["nat"], what: || Nat::ALL.map(Nat::what).join("; "), default: || code(defaults::nat()) },
    Row {
        options: &["clamp-mss"],
        what: || "lowers the MSS of TCP to what the path carries".into(),
        default: || "off".into(),
    },
    Row {
        options: &["attach"],
        what: || {
            "how the program is attached to the host-side veth: `clsact` attaches in 0.5 ms, where `tcx` waits for a grace period of the \
               kernel (16 ms here), and costs each outbound packet about 0.1 µs more".into()
        },
        default: || code(defaults::attach()),
    },
    Row {
        options: &["internal"],
        what: || "makes a [network that nothing leaves](docs/networks.md#networks-that-allow-less)".into(),
        default: || "off".into(),
    },
    Row {
        options: &["no-icc"],
        what: || "keeps the namespaces of a network from reaching each other".into(),
        default: || "off".into(),
    },
    Row {
        options: &["flows"],
        what: || {
            "`east-west` shows [what namespaces speak with each other](docs/networks.md#flows-between-namespaces) as flows, too".into()
        },
        default: || code(Flows::default().name()),
    },
    Row {
        options: &["bridge"],
        what: || {
            "`none` connects more namespaces than a bridge has ports for, [without multicast among them](docs/networks.md#without-a-bridge)".into()
        },
        default: || code(Bridging::default().name()),
    },
    Row {
        options: &["no-default-route"],
        what: || "leaves the routes inside to the namespace, which may have a default route of its own".into(),
        default: || "off".into(),
    },
    Row {
        options: &["rate-out", "rate-in", "burst"],
        what: || "[limits](docs/networks.md#rates) what a namespace sends and gets".into(),
        default: || "`none`; 50 ms".into(),
    },
    Row {
        options: &["source", "source6"],
        what: || {
            "sends what begins inside [from this address](docs/ways-out.md#sources) of the host, or of a range".into()
        },
        default: || "the one that the host would take".into(),
    },
    Row {
        options: &["multicast"],
        what: || {
            "lets [multicast](docs/networks.md#rules) pass between the network and its uplink: names (mDNS), services (SSDP), routed groups".into()
        },
        default: || "off".into(),
    },
    Row {
        options: &["announce"],
        what: || {
            "answers at the uplink for [the addresses of `--source` and `--source6`](docs/ways-out.md#sources), which the host does not have".into()
        },
        default: || "off".into(),
    },
    Row {
        options: &["allow-spoof"],
        what: || "lets a namespace send from addresses other than its own (a router inside)".into(),
        default: || "off".into(),
    },
];

/// Options of `up` about NAT, with their defaults.
pub(super) fn options() -> String {
    let declared = declaration();
    let up = declared.find_subcommand("up").expect("the command line has up");
    let row = |Row { options, what, default }: &Row| {
        let options: Vec<String> = options.iter().map(|name| code(typed(option(up, name)))).collect();
        [options.join(", "), what(), default()]
    };
    table(["option", "what it sets", "default"], OPTIONS.iter().map(row))
}

fn option<'a>(command: &'a Command, name: &str) -> &'a Arg {
    let mut options = command.get_arguments();
    options.find(|arg| arg.get_long() == Some(name)).unwrap_or_else(|| panic!("up has no option --{name}"))
}

/// An option as one types it: `--nat symmetric|eim|eim-eif`.
fn typed(option: &Arg) -> String {
    let long = option.get_long().unwrap_or_default();
    let choices: Vec<String> = option.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
    let is_flag = !option.get_action().takes_values();
    match (is_flag, choices.is_empty(), option.get_value_names()) {
        (true, ..) | (false, true, None) => format!("--{long}"),
        (false, false, _) => format!("--{long} {}", choices.join("|")),
        (false, true, Some(names)) => format!("--{long} {}", names.join(" ")),
    }
}

/// The data paths, with who takes which.
pub(super) fn data_paths() -> String {
    let row = |datapath: &Datapath| {
        let auto = if *datapath == defaults::BEST { " (what `auto` takes)" } else { "" };
        [format!("{}{auto}", code(datapath.name())), datapath.what().into(), datapath.when().into()]
    };
    table(["`--datapath`", "what forwards", "when"], Datapath::ALL.iter().map(row))
}

/// The idle times, with their defaults and what RFCs ask for.
pub(super) fn idle_times() -> String {
    let sizes = Sizes::default();
    let default =
        |which: Timeout| sizes.timeouts.iter().find(|(found, _)| *found == which).map_or(0, |(_, time)| *time);
    let row = |IdleTime { name, ends, which, least }: &IdleTime| {
        let least = least.map_or_else(|| "–".into(), |(least, rfc)| format!("{} ({rfc})", seconds(least)));
        [code(name), (*ends).into(), seconds(default(*which)), least]
    };
    table(["`--timeout`", "ends", "default", "at least"], IDLE_TIMES.iter().map(row))
}
