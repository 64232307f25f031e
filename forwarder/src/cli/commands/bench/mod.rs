//! `fwd bench`.

mod args;
mod control;
mod live;
mod progress;

use std::{fmt::Display, ops::RangeInclusive, time::Duration};

use signal_hook::low_level::emulate_default_handler;

pub(super) use self::args::help;
pub(crate) use self::args::{BenchArgs, BenchCommand};
use self::progress::Shown;
use crate::{
    Context as _, Error, Kind, Result,
    bench::{self, Comparison, Family, Metric, Options, Path, load::Tool},
    cli::{
        args::defaults::{DURATION, ROUNDS},
        export::Exports,
        session::Session,
    },
    netns::nearest,
    testbed::Interrupt,
};

/// The same of other programs, each of whose measurements takes a second or more.
const ROUNDS_WITH: [usize; 2] = [7, 3];
/// What a measurement may take.
const DURATIONS: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(3600);
/// The load runs for this part of a measurement before it counts, but for no longer than the second.
const WARM_UP_PART: u32 = 5;
const WARM_UP_MOST: Duration = Duration::from_millis(200);

/// Compares the data paths.
pub(super) fn run(session: &mut Session<'_, '_>, args: &BenchArgs) -> Result<()> {
    if let Some(BenchCommand::Control(args)) = &args.command {
        return control::run(session, args);
    }
    if let Some(address) = &args.serve {
        return live::serve(session, address.as_deref(), args);
    }
    let options = options(args)?;
    let exports = Exports::prepare(&args.export)?;
    // Ctrl-C ends the measuring, and what was measured is shown.
    let interrupt = Interrupt::await_first();
    let report = {
        let (err, terminal) = session.err();
        let mut shown = Shown::new(err, terminal);
        match &args.target {
            Some(target) => live::measure(&options, target, args, &interrupt, &mut shown),
            None => bench::run(&options, &interrupt, &mut shown),
        }
    };
    // Both, whatever becomes of the other: the minutes are spent.
    let shown = report.and_then(|report| {
        let shown = session.emit(&report);
        exports.write(&report)?;
        shown
    });
    ended(session, &interrupt, shown)
}

/// Ends the process as the signal would have, if there was one, so that the parent sees why.
fn ended(session: &mut Session<'_, '_>, interrupt: &Interrupt, outcome: Result<()>) -> Result<()> {
    let Some(signal) = interrupt.signal() else { return outcome };
    if let Err(error) = outcome {
        // Whether anybody reads it is not worth another failure.
        drop(writeln!(session.err().0, "{error}"));
    }
    emulate_default_handler(signal).doing("end on", format!("signal {signal}"))
}

fn options(args: &BenchArgs) -> Result<Options> {
    let BenchArgs { paths, metrics, rounds, duration, quick, size, streams, rate, namespaces, flows, with, .. } = args;
    let kind = usize::from(*quick);
    let with = with.as_deref().map_or(Ok(Tool::Fwd), tool)?;
    let usual_rounds = if with == Tool::Fwd { ROUNDS } else { ROUNDS_WITH }[kind];
    let duration = duration.as_deref().map_or(Ok(DURATION[kind]), |text| time("--duration", text, DURATIONS))?;
    let [duration, warm_up] =
        with.times(duration)?.unwrap_or_else(|| [duration, (duration / WARM_UP_PART).min(WARM_UP_MOST)]);
    let flows = number("--flows", flows, 0..=2_000_000)?;
    let way = way(args, with, flows)?;
    Ok(Options {
        way,
        paths: chosen_paths(paths, way)?,
        metrics: measured(with, rate.is_some(), metrics)?,
        rounds: rounds.as_deref().map_or(Ok(usual_rounds), |text| number("--rounds", text, 1..=10_000))?,
        duration,
        warm_up,
        size: number("--size", size, with.least_size()..=65_000)?,
        streams: number("--streams", streams, 1..=1_000)?,
        rate: rate.as_deref().map(|text| number("--rate", text, 1..=1_000_000)).transpose()?.map(|rate| rate as u32),
        namespaces: number("--namespaces", namespaces, 1..=1_000)?,
        flows,
        with,
    })
}

/// Which way packets go, if that can be measured so.
fn way(args: &BenchArgs, with: Tool, flows: usize) -> Result<Comparison> {
    let way = Comparison { family: args.family, published: args.published };
    let refuse =
        |object: &str, why: &str, remedy: &str| Err(Error::new(Kind::Usage, "use", object, why).remedy(remedy));
    match way {
        Comparison { family: Family::V6, .. } if !with.knows_ipv6() => {
            let why = format!("{} measures over IPv4 alone", with.id());
            refuse(&format!("--with {} --family 6", with.id()), &why, "leave one of them out")
        }
        Comparison { family: Family::V6, .. } | Comparison { published: true, .. } if flows > 0 => {
            let why = "flows beside the measured one are made from a namespace to the outside, over IPv4";
            refuse(&format!("--flows {flows}"), why, "leave --flows out, or --family and --published")
        }
        way => Ok(way),
    }
}

/// Another program.
fn tool(word: &str) -> Result<Tool> {
    Tool::OTHERS.into_iter().find(|tool| tool.id() == word).ok_or_else(|| {
        let ids = Tool::OTHERS.map(Tool::id);
        let remedy = match nearest(word, &ids) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("--with {}", ids.join(" or --with ")),
        };
        let why = "fwd does not know how to measure with it";
        Error::new(Kind::Usage, "use", format!("--with {word}"), why).remedy(remedy)
    })
}

/// What is measured: of everything, what `with` measures, or what a fixed rate of requests means something to; what is named has to be
/// measured.
fn measured(with: Tool, has_rate: bool, words: &[String]) -> Result<Vec<Metric>> {
    let metrics = match words {
        [] => Metric::USUAL.to_vec(),
        words => chosen("--metrics", words, &Metric::ALL, Metric::id)?,
    };
    let is_measured = |metric: &Metric| if has_rate { metric.is_latency() } else { with.measures(*metric) };
    let (can, cannot): (Vec<Metric>, Vec<Metric>) = metrics.into_iter().partition(is_measured);
    match cannot.first() {
        Some(metric) if !words.is_empty() => {
            let can: Vec<_> = Metric::ALL.into_iter().filter(is_measured).map(Metric::id).collect();
            let (option, why) = match has_rate {
                true => ("--rate".to_owned(), "it has no requests that could be due".to_owned()),
                false => (format!("--with {}", with.id()), format!("{} does not measure it", with.id())),
            };
            let left_out = option.split(' ').next().unwrap_or_default();
            let remedy = format!("--metrics {}, or leave {left_out} out", can.join(","));
            Err(Error::new(Kind::Usage, "use", format!("--metrics {metric} {option}"), why).remedy(remedy))
        }
        _ => Ok(can),
    }
}

/// The paths that are named, or all that go this way.
fn chosen_paths(words: &[String], way: Comparison) -> Result<Vec<Path>> {
    let elsewhere = |word: &String| Path::every().find(|path| path.id() == word && !way.paths().contains(path));
    if let Some(path) = words.iter().find_map(elsewhere) {
        let (why, remedy) = match (way.published, Path::ALL.contains(&path)) {
            (false, false) => ("it leads to a published port", "give it with --published".to_owned()),
            _ => {
                let ids: Vec<_> = way.paths().iter().map(|path| path.id()).collect();
                ("it is not set up that way", format!("this way there are {}", ids.join(", ")))
            }
        };
        return Err(Error::new(Kind::Usage, "use", format!("--paths {path}"), why).remedy(remedy));
    }
    chosen("--paths", words, way.paths(), Path::id)
}

/// What is named, in the order of `all` and each once; all if nothing is named.
fn chosen<T: Copy + PartialEq>(option: &str, words: &[String], all: &[T], id: fn(T) -> &'static str) -> Result<Vec<T>> {
    let ids: Vec<&str> = all.iter().map(|value| id(*value)).collect();
    for word in words {
        if !ids.contains(&word.as_str()) {
            let remedy = match nearest(word, &ids) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("there are {}", ids.join(", ")),
            };
            return Err(
                Error::new(Kind::Usage, "use", format!("{option} {word}"), "there is no such thing").remedy(remedy)
            );
        }
    }
    let named = |value: &T| words.is_empty() || words.iter().any(|word| word == id(*value));
    Ok(all.iter().copied().filter(named).collect())
}

fn number(option: &str, text: &str, range: RangeInclusive<usize>) -> Result<usize> {
    let (least, most) = (*range.start(), *range.end());
    text.parse().ok().filter(|number| range.contains(number)).ok_or_else(|| {
        refused(
            option,
            text,
            format!("it takes a number from {least} to {most}"),
            &format!("{option} {}", least.max(10).min(most)),
        )
    })
}

fn time(option: &str, text: &str, range: RangeInclusive<Duration>) -> Result<Duration> {
    let example = format!("{option} {}", if *range.start() < Duration::from_secs(1) { "250ms" } else { "1h" });
    let time = humantime::parse_duration(text).map_err(|error| refused(option, text, error, &example))?;
    if range.contains(&time) {
        return Ok(time);
    }
    let [least, most] = [range.start(), range.end()].map(|time| humantime::format_duration(*time));
    Err(refused(option, text, format!("it takes a time from {least} to {most}"), &example))
}

fn refused(option: &str, text: &str, why: impl Display, example: &str) -> Error {
    Error::new(Kind::Usage, "use", format!("{option} {text}"), why.to_string()).remedy(example)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};

    fn parse(line: &str) -> Result<Options> {
        let cli = Cli::try_parse_from(line.split_whitespace()).unwrap_or_else(|error| panic!("{line}: {error}"));
        let Command::Bench(args) = cli.command else { panic!("{line} is not bench") };
        options(&args)
    }

    #[track_caller]
    fn refuses(line: &str, words: &[&str]) {
        let error = parse(line).expect_err("it makes no sense");
        assert_eq!(error.kind, Kind::Usage, "{error}");
        let text = format!("{error}; {}", error.remedy.as_deref().unwrap_or("no remedy"));
        for word in words {
            assert!(text.contains(word), "{word} is missing: {text}");
        }
        assert!(error.remedy.is_some(), "{text}");
    }

    #[test]
    fn without_arguments_everything_is_compared_in_two_minutes() {
        let options = parse("fwd bench").expect("no argument is needed");
        assert_eq!((options.paths.as_slice(), options.metrics.as_slice()), (&Path::ALL[..], &Metric::USUAL[..]));
        let steps = (options.paths.len() * options.metrics.len() * options.rounds) as u32;
        let time = (options.duration + options.warm_up) * steps;
        assert!(time < Duration::from_secs(150), "{time:?}");
        assert!(parse("fwd bench --quick").expect("an option").rounds < options.rounds);
    }

    #[test]
    fn other_programs_measure_what_they_can_for_whole_seconds() {
        let options = parse("fwd bench --with sockperf").expect("an option");
        assert_eq!(options.metrics, [Metric::TcpRr, Metric::UdpRr]);
        assert_eq!((options.duration, options.warm_up), (Duration::from_millis(500), Duration::from_millis(400)));
        let options = parse("fwd bench --with iperf3 --duration 1200ms").expect("an option");
        assert_eq!(options.metrics, [Metric::TcpStreamOut, Metric::TcpStreamIn]);
        assert_eq!((options.duration, options.with), (Duration::from_secs(2), Tool::Iperf3));
    }

    #[test]
    fn what_is_named_comes_once_and_in_the_usual_order() {
        let options = parse("fwd bench --paths fwd-tc,host,host --metrics udp-64,tcp-rr").expect("names");
        assert_eq!(options.paths, [Path::Host, Path::FwdTc]);
        assert_eq!(options.metrics, [Metric::TcpRr, Metric::Udp64]);
        let options = parse("fwd bench --metrics tcp-teardown,udp-throughput").expect("names");
        assert_eq!(options.metrics, [Metric::UdpThroughput, Metric::TcpTeardown]);
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_a_remedy() {
        refuses("fwd bench --paths fwd-tx", &["--paths fwd-tx", "did you mean `fwd-tc`?"]);
        refuses("fwd bench --published --family 6 --paths nft-dnat", &["--paths nft-dnat", "docker-proxy"]);
        refuses("fwd bench --published --flows 7", &["--flows 7", "leave --flows out"]);
        refuses("fwd bench --family 6 --with sockperf", &["sockperf", "IPv4 alone"]);
        refuses("fwd bench --family 6 --paths fwd-xdp", &["--paths fwd-xdp", "fwd-tc"]);
        refuses("fwd bench --paths nft-dnat", &["--paths nft-dnat", "with --published"]);
        refuses("fwd bench --paths zzzzzzzzz", &["host, veth-floor", "bridge-masquerade"]);
        refuses("fwd bench --metrics tcp", &["--metrics tcp"]);
        refuses("fwd bench --metrics tcp-r", &["tcp-rr"]);
        refuses("fwd bench --rounds 0", &["--rounds 0", "from 1 to"]);
        refuses("fwd bench --rounds many", &["--rounds many"]);
        refuses("fwd bench --duration 3", &["--duration 3", "250ms"]);
        refuses("fwd bench --duration 1ms", &["10ms"]);
        refuses("fwd bench --duration 2h", &["1h"]);
        refuses("fwd bench --size 0", &["--size 0"]);
        refuses("fwd bench --namespaces 1001", &["1000"]);
        refuses("fwd bench --flows 2000001", &["2000000"]);
        refuses("fwd bench --with netperf", &["--with netperf", "--with iperf3 or --with sockperf"]);
        refuses("fwd bench --with iperf", &["did you mean `iperf3`?"]);
        refuses("fwd bench --with iperf3 --metrics tcp-rr", &["tcp-rr", "iperf3", "tcp-stream-out,tcp-stream-in"]);
        refuses("fwd bench --with sockperf --size 13", &["from 14"]);
        refuses("fwd bench --rate 0", &["--rate 0", "from 1 to 1000000"]);
        refuses(
            "fwd bench --rate 9 --metrics tcp-rr,udp-64",
            &["--metrics udp-64 --rate", "tcp-rr,udp-rr, or leave --rate"],
        );
        assert!(
            Cli::try_parse_from("fwd bench --rate 9 --with sockperf".split_whitespace()).is_err(),
            "it has its own"
        );
        assert_eq!(parse("fwd bench --rate 9").expect("a rate").metrics, [Metric::TcpRr, Metric::UdpRr]);
        let line = "fwd bench --quick --rounds 3".split_whitespace();
        assert!(Cli::try_parse_from(line).is_err(), "--quick decides the rounds");
    }
}
