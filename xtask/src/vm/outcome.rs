//! What a kernel has shown: from the lines that a machine prints, and as a row of docs/kernels.md.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{term, test::report::Tally};

/// What lines say besides the results of tests.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// `uname -rv`: that the machine has booted.
    pub(super) kernel: Option<String>,
    /// Features that `fwd features` does not find, by name.
    pub(super) lacks: Vec<String>,
    /// With what words the eBPF data path is refused, if it is.
    pub(super) refused: Option<String>,
    /// Tests ran with netkit pairs, too.
    pub(super) netkit: bool,
    /// Programs, and how many instructions of each were verified.
    programs: BTreeMap<String, u64>,
}

impl Outcome {
    /// Takes in a line.
    pub(super) fn take(&mut self, line: &str) {
        let line = term::plain(line);
        let line = line.trim_end();
        if let Some(kernel) = line.strip_prefix("kernel: ") {
            self.kernel = Some(kernel.to_owned());
        } else if let Some(features) = line.strip_prefix("features: ") {
            self.lacks = missing(features);
        } else if let Some(why) = line.strip_prefix("refused: ") {
            self.refused = Some(why.to_owned());
        } else if line == "netkit: supported" {
            self.netkit = true;
        } else if let Some((program, count)) =
            line.strip_suffix(" instructions verified").and_then(|line| line.split_once(": "))
            && let Ok(count) = count.parse()
        {
            self.programs.insert(program.to_owned(), count);
        }
    }

    /// The row of a kernel: its series, its package, what came out, what it lacks, its verifier.
    pub(super) fn row(&self, release: &str, version: &str, tally: &Tally) -> String {
        let Tally { passed, failed, ignored: _, failures } = tally;
        let result = match failed {
            0 => format!("{passed} passed"),
            _ => format!("{passed} passed, **{failed} failed**: {}", failures.join(", ")),
        };
        let refused = self.refused.as_ref().map_or("", |_| "; `--datapath tc` is refused");
        let lacks = match self.lacks.as_slice() {
            [] => "nothing".to_owned(),
            lacks => lacks.join(", "),
        };
        let verifier = match self.programs.iter().max_by_key(|(_, count)| **count) {
            Some((program, most)) => {
                format!("{} programs, at most {most} instructions (`{program}`)", self.programs.len())
            }
            None => "not asked".to_owned(),
        };
        format!("| {release} | {version} | {result}{refused} | {lacks} | {verifier} |")
    }
}

/// The names of the features that are not supported, of what `fwd features --json` prints.
fn missing(features: &str) -> Vec<String> {
    let features: Vec<Value> = serde_json::from_str(features).unwrap_or_default();
    let missing = features.iter().filter(|feature| feature["support"] != "supported");
    missing.filter_map(|feature| feature["feature"].as_str()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machines_lines_become_a_row() {
        let mut outcome = Outcome::default();
        for line in [
            "kernel: 6.1.0-50-amd64 #1 SMP\r",
            r#"features: [{"feature":"TCX","support":"unsupported"},{"feature":"veth","support":"supported"}]"#,
            "refused: error: cannot use the eBPF data path",
            "from_ns: 812 instructions verified",
            "to_uplink: 4000 instructions verified",
            "test \x1b[32ma\x1b[m ... ok",
        ] {
            outcome.take(line);
        }
        let tally = Tally { passed: 2, failed: 1, ignored: 0, failures: vec!["flows::b".into()] };
        assert_eq!(
            outcome.row("6.1.0-50-amd64", "6.1.176-1", &tally),
            "| 6.1.0-50-amd64 | 6.1.176-1 | 2 passed, **1 failed**: flows::b; `--datapath tc` is refused | TCX | 2 programs, at most 4000 instructions \
             (`to_uplink`) |"
        );
        assert!(outcome.kernel.unwrap().starts_with("6.1.0"));
    }
}
