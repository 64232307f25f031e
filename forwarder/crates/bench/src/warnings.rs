//! Warnings: what makes figures doubtful: told to the reader beside them.

use super::{
    Metric, Path,
    path::Scale,
    plan::{Task, Variant},
    record::Records,
    report::Environment,
    statistics,
    summary::Failed,
};

/// The middle half of the host's rounds may lie so far apart, as a share of the median: it has nothing that could vary.
const SPREAD: f64 = 0.05;
/// Share of the time that the hypervisor may give to others.
const STEAL: f64 = 0.01;
/// Share of the requests that were due which have to be answered within the time.
const KEPT_UP: f64 = 0.98;
/// Rounds below which an interval says little.
const FEW_ROUNDS: usize = 5;

/// Everything that there is to say, the gravest first.
#[must_use]
pub(super) fn all(
    main: Scale,
    tasks: &[Task],
    records: &Records,
    environment: &Environment,
    failed: &[Failed],
    load: f64,
) -> Vec<String> {
    let mut warnings = Vec::new();
    if environment.steal > STEAL {
        warnings.push(format!("the hypervisor gave {:.1} % of the time to others", environment.steal * 100.0));
    }
    if load > environment.cpus as f64 / 2.0 {
        let cpus = environment.cpus;
        warnings
            .push(format!("other programs were running: the load of the minute before was {load:.1} on {cpus} CPUs"));
    }
    if let Some(governor) = environment.governor.as_deref().filter(|governor| *governor != "performance") {
        warnings
            .push(format!("the CPU's frequency changes (governor {governor}): times of different rounds may differ"));
    }
    let metrics: Vec<Metric> =
        Metric::ALL.into_iter().filter(|metric| tasks.iter().any(|task| task.metrics.contains(metric))).collect();
    warnings.extend(unsteady(main, &metrics, records));
    warnings.extend(metrics.iter().filter_map(|metric| undecided(main, *metric, tasks, records)));
    let rounds = tasks.iter().find_map(|task| Some(records.of(task.variant, *task.metrics.first()?)?.values.len()));
    if let Some(rounds) = rounds.filter(|rounds| *rounds < FEW_ROUNDS) {
        warnings.push(format!(
            "{rounds} rounds are few: give --rounds {FEW_ROUNDS} or more for intervals that mean something"
        ));
    }
    let beside = failed.iter().filter(|failed| failed.variant.scale != main);
    warnings.extend(beside.map(|Failed { variant: Variant { path, scale }, error }| {
        let Scale { namespaces, flows } = scale;
        format!("{} with {namespaces} namespaces and {flows} flows was not measured: {error}", path.title())
    }));
    warnings
}

/// A signal came before the last round was over.
#[must_use]
pub(super) fn ended_early(tasks: &[Task], rounds: usize, records: &Records) -> Option<String> {
    let whole = |task: &Task| task.metrics.iter().map(|metric| records.rounds(task.variant, *metric)).min();
    let done = tasks.iter().filter_map(whole).min()?;
    (done < rounds).then(|| format!("it was interrupted: {done} of {rounds} rounds are whole"))
}

/// The host's own figures differ from round to round.
fn unsteady(main: Scale, metrics: &[Metric], records: &Records) -> Option<String> {
    let apart = |metric: &Metric| {
        let rounds = records.of(Variant { path: Path::Host, scale: main }, *metric)?;
        let spread = statistics::spread(&rounds.values);
        (spread > SPREAD).then(|| format!("{:.0} % in {}", spread * 100.0, metric.title()))
    };
    let apart: Vec<String> = metrics.iter().filter_map(apart).collect();
    (!apart.is_empty()).then(|| {
        format!("the machine was unsteady: half of the rounds of host lie further apart than {}", apart.join(", "))
    })
}

/// Variants over which fewer requests were answered than were due: what they waited for each other is in their times.
pub(super) fn behind(rate: Option<u32>, tasks: &[Task], records: &Records) -> Vec<String> {
    let Some(rate) = rate else { return Vec::new() };
    let late = |(variant, metric): (Variant, Metric)| {
        let answered = statistics::median(&records.of(variant, metric)?.per_second);
        (answered < f64::from(rate) * KEPT_UP).then(|| {
            let (title, path) = (metric.title(), variant.path.title());
            format!("{path} did not keep up with --rate {rate}: {title} had {answered:.0} a second, so its times grow with --duration")
        })
    };
    let all = tasks.iter().flat_map(|task| task.metrics.iter().map(|metric| (task.variant, *metric)));
    all.filter_map(late).collect()
}

/// Neighbours in the order of their medians whose difference within a round may as well be the other way round.
fn undecided(main: Scale, metric: Metric, tasks: &[Task], records: &Records) -> Option<String> {
    let here = tasks.iter().map(|task| task.variant).filter(|variant| variant.scale == main);
    let mut order: Vec<(Path, &[f64])> = here
        .filter_map(|variant| Some((variant.path, records.of(variant, metric)?.values.as_slice())))
        .filter(|(_, values)| values.len() > 1)
        .collect();
    order.sort_by(|one, other| statistics::median(one.1).total_cmp(&statistics::median(other.1)));
    let pairs: Vec<String> = order
        .windows(2)
        .filter_map(|pair| {
            let difference = statistics::paired(pair[0].1, pair[1].1, |this, that| that - this)?;
            let open = difference.low <= 0.0 && difference.high >= 0.0;
            open.then(|| format!("{} and {}", pair[0].0.title(), pair[1].0.title()))
        })
        .collect();
    (!pairs.is_empty()).then(|| format!("{} does not tell which is better: {}", metric.title(), pairs.join("; ")))
}

#[cfg(test)]
mod tests {
    use hdrhistogram::Histogram;

    use super::*;
    use crate::load::Sample;

    fn records(rounds: &[(Path, &[f64])]) -> (Vec<Task>, Records) {
        let mut records = Records::default();
        let mut tasks = Vec::new();
        for (path, halves) in rounds {
            let variant = Variant { path: *path, scale: Scale::default() };
            tasks.push(Task { variant, metrics: vec![Metric::TcpRr] });
            for micros in *halves {
                let mut latency = Histogram::new(3).expect("a histogram");
                latency.record((micros * 2e3) as u64).expect("it fits");
                let sample =
                    Sample { per_second: 5e5 / micros, latency: Some(latency), changes: None, cpu_ns: None, lost: 0.0 };
                records.add(variant, Metric::TcpRr, &sample);
            }
        }
        (tasks, records)
    }

    fn of(rounds: &[(Path, &[f64])], environment: &Environment, load: f64) -> Vec<String> {
        let (tasks, records) = records(rounds);
        all(Scale::default(), &tasks, &records, environment, &[], load)
    }

    fn quiet() -> Environment {
        Environment { cpus: 2, ..Environment::default() }
    }

    const HOST: (Path, &[f64]) = (Path::Host, &[7.0, 7.02, 6.98, 7.01, 7.0]);

    #[test]
    fn a_quiet_machine_is_not_warned_about() {
        assert_eq!(of(&[HOST, (Path::FwdTc, &[7.9, 7.94, 7.88, 7.91, 7.9])], &quiet(), 0.3), Vec::<String>::new());
    }

    #[test]
    fn a_path_that_answers_less_than_is_asked_is_named() {
        let (tasks, records) = records(&[HOST, (Path::FwdTc, &[9.0, 9.1, 9.2])]);
        assert_eq!(behind(None, &tasks, &records), [""; 0]);
        assert_eq!(behind(Some(50_000), &tasks, &records), [""; 0]);
        let said = behind(Some(70_000), &tasks, &records);
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].starts_with("fwd tc did not keep up with --rate 70000: TCP_RR had 54945 a second"), "{said:?}");
    }

    #[test]
    fn each_disturbance_is_named() {
        let environment = Environment { steal: 0.034, governor: Some("powersave".into()), ..quiet() };
        let warnings = of(&[(Path::Host, &[7.0, 9.0, 7.1, 8.0])], &environment, 1.7).join("\n");
        for word in ["3.4 %", "load of the minute before was 1.7 on 2", "powersave", "% in TCP_RR", "4 rounds are few"]
        {
            assert!(warnings.contains(word), "{word} is missing: {warnings}");
        }
    }

    #[test]
    fn an_order_that_the_rounds_do_not_agree_on_is_not_claimed() {
        let noisy: (Path, &[f64]) = (Path::Routed, &[7.8, 8.2, 7.7, 8.1, 8.0]);
        let warnings = of(&[HOST, (Path::FwdTc, &[7.9, 7.94, 7.88, 7.91, 7.9]), noisy], &quiet(), 0.3);
        assert_eq!(warnings, ["TCP_RR does not tell which is better: fwd tc and veth routed, no NAT"]);
    }

    #[test]
    fn rounds_that_are_slow_for_both_do_not_hide_an_order() {
        let slow: [(Path, &[f64]); 2] =
            [(Path::FwdTc, &[7.9, 15.9, 7.9, 16.1, 8.0]), (Path::Routed, &[8.2, 16.4, 8.1, 16.3, 8.3])];
        assert_eq!(of(&slow, &quiet(), 0.3), Vec::<String>::new());
    }
}
