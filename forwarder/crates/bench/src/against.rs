//! Two builds of `fwd` in turn: whether one is faster than the other over the same path, told within a pair.
//!
//! What a machine does in one minute it does not do in the next, so two runs of `fwd bench` one after the other tell nothing of a few
//! percent. Here each pair is one round by either build, now the one first and now the other, and the ratio is formed within it. `host`
//! has no part of either: by how far its ratio lies from 1, one sees what the pairs can tell.

use std::{path::PathBuf, process::Command};

use serde::Serialize;
use serde_json::Value;

use super::{
    environment,
    report::{Environment, Estimate},
    statistics,
};
use fwd_base::{Context as _, Error, Kind, Result};

/// What every run is asked for.
const ASKED: [&str; 4] = ["bench", "--json", "--rounds", "1"];
/// The two, by their places in [`Against::programs`].
const BOTH: [usize; 2] = [0, 1];

/// What to compare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Against {
    /// The `fwd` of before, and that of now.
    pub programs: [PathBuf; 2],
    /// How many pairs.
    pub pairs: usize,
    /// What else `fwd bench` is asked for, such as `--paths host,fwd-tc --metrics tcp-rr`.
    pub arguments: Vec<String>,
}

/// All that was compared.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Compared {
    /// The machine.
    pub environment: Environment,
    /// Pairs that were measured.
    pub pairs: usize,
    /// Each path and metric that both builds know.
    pub rows: Vec<Row>,
}

/// One metric of one path by both builds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// As after `--paths`.
    pub path: String,
    /// As after `--metrics`.
    pub metric: String,
    /// By the build of before: microseconds of half a round trip, or a rate per second.
    pub before: Estimate,
    /// By that of now.
    pub now: Estimate,
    /// Now to before in the same pair.
    pub ratio: Estimate,
}

/// The figures of one run: path, metric, value.
type Figures = Vec<(String, String, f64)>;

/// Measures, and tells `follow` each pair that begins.
///
/// # Errors
/// A build cannot be run, measures nothing, or says something else than `fwd bench` does; with what it said.
pub fn run(against: &Against, follow: &mut dyn FnMut(usize)) -> Result<Compared> {
    let mut runs: [Vec<Figures>; 2] = Default::default();
    for pair in 0..against.pairs {
        follow(pair + 1);
        for which in order(pair) {
            runs[which].push(measure(against, which)?);
        }
    }
    let rows = rows(&runs);
    if rows.is_empty() {
        let why = "no path and metric was measured by both";
        return Err(Error::new(Kind::Failed, "compare", "two builds of fwd", why)
            .remedy("name what both know: --paths, --metrics"));
    }
    Ok(Compared { environment: environment::gather(), pairs: against.pairs, rows })
}

/// Who goes first changes from pair to pair.
fn order(pair: usize) -> [usize; 2] {
    let mut order = BOTH;
    order.rotate_left(pair % BOTH.len());
    order
}

fn measure(against: &Against, which: usize) -> Result<Figures> {
    let program = &against.programs[which];
    let mut command = Command::new(program);
    command.args(ASKED).args(&against.arguments);
    let output = command.output().doing("run", program.display().to_string())?;
    let failed = |why: String| Error::new(Kind::Failed, "measure with", program.display().to_string(), why);
    if !output.status.success() {
        return Err(failed(format!("{}\n{}", output.status, String::from_utf8_lossy(&output.stderr).trim_end())));
    }
    let report =
        serde_json::from_slice(&output.stdout).map_err(|error| failed(format!("it printed no JSON: {error}")))?;
    Ok(figures(&report))
}

/// Those of a document of `fwd bench --json`, of whichever version: only what every version has is read.
fn figures(report: &Value) -> Figures {
    let items = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut found = Vec::new();
    for path in items(&report["paths"]) {
        for metric in items(&path["metrics"]) {
            let names = (path["path"].as_str(), metric["metric"].as_str());
            if let ((Some(path), Some(name)), Some(value)) = (names, metric["value"]["median"].as_f64()) {
                found.push((path.to_owned(), name.to_owned(), value));
            }
        }
    }
    found
}

/// What both have in every pair.
fn rows([before, now]: &[Vec<Figures>; 2]) -> Vec<Row> {
    let of = |runs: &[Figures], path: &str, metric: &str| -> Option<Vec<f64>> {
        let value = |run: &Figures| run.iter().find(|(p, m, _)| p == path && m == metric).map(|(.., value)| *value);
        runs.iter().map(value).collect()
    };
    let row = |(path, metric, _): &(String, String, f64)| {
        let [before, now] = [of(before, path, metric)?, of(now, path, metric)?];
        Some(Row {
            path: path.clone(),
            metric: metric.clone(),
            before: statistics::estimate(&before)?,
            now: statistics::estimate(&now)?,
            ratio: statistics::ratio(&now, &before)?,
        })
    };
    now.first().into_iter().flatten().filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn run_of(values: &[(&str, &str, f64)]) -> Figures {
        values.iter().map(|(path, metric, value)| ((*path).into(), (*metric).into(), *value)).collect()
    }

    #[test]
    fn ratios_are_formed_within_a_pair() {
        // Twice as slow in the second pair, and a tenth faster in each.
        let before = [10.0, 20.0, 10.0].map(|value| run_of(&[("fwd-tc", "tcp-rr", value)]));
        let now = [9.0, 18.0, 9.0].map(|value| run_of(&[("fwd-tc", "tcp-rr", value)]));
        let rows = rows(&[before.to_vec(), now.to_vec()]);
        let [Row { ratio, before, .. }] = rows.as_slice() else { panic!("{rows:?}") };
        assert!((ratio.low - 0.9).abs() < 1e-9 && (ratio.high - 0.9).abs() < 1e-9, "{ratio:?}");
        assert_eq!((before.median, before.high), (10.0, 20.0));
    }

    #[test]
    fn what_one_of_them_lacks_in_any_pair_is_left_out() {
        let before =
            vec![run_of(&[("host", "tcp-rr", 7.0), ("fwd-tc", "tcp-rr", 8.0)]), run_of(&[("host", "tcp-rr", 7.1)])];
        let now =
            vec![run_of(&[("host", "tcp-rr", 7.0), ("host", "udp-throughput", 1e5), ("fwd-tc", "tcp-rr", 8.0)]); 2];
        let rows: Vec<_> = rows(&[before, now]).into_iter().map(|row| (row.path, row.metric)).collect();
        assert_eq!(rows, [("host".to_owned(), "tcp-rr".to_owned())]);
    }

    #[test]
    fn each_goes_first_as_often_as_the_other() {
        assert_eq!((0..4).map(|pair| order(pair)[0]).collect::<Vec<_>>(), [0, 1, 0, 1]);
        assert!((0..4).all(|pair| order(pair)[0] != order(pair)[1]));
    }

    #[test]
    fn documents_of_other_versions_are_read() {
        let path = json!({ "path": "fwd-new", "metrics": [{ "metric": "tcp-new", "value": { "median": 1.5 }, "more": 1 }, {}] });
        let report = json!({ "schema": 9, "paths": [path, { "path": "x", "metrics": null }] });
        assert_eq!(figures(&report), run_of(&[("fwd-new", "tcp-new", 1.5)]));
        assert_eq!(figures(&json!([])), run_of(&[]));
    }
}
