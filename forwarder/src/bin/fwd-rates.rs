//! `fwd-rates [--json] [--only WORDS] [ROUNDS]`: whether what an endpoint sends and gets is what its limits say (`./x rates`), as iperf3
//! sees it. Needs root, and iperf3.
//!
//! How exact a limit is depends on what else the machine does meanwhile. So the tests let much pass, and here the machine is to be left
//! alone. Each row is the median of the rounds, and each round has a sandbox of its own. Exits 1 if one is further from its limit, above or
//! below, than [`MOST`].

use std::{process::ExitCode, time::Duration};

use forwarder::{
    Context as _, Error, Kind, Result,
    dataplane::{NETKIT, RunDir, Support},
    execute::{self, HostContext, Unobserved},
    measuring::Arguments,
    netns::{Name, Netns},
    reconcile::{AskedLimits, Datapath, RateLimit, TargetRef, UpRequest},
    testbed::{Process, Testbed, command_in, run as run_to_end, unique_prefix, wait_until},
};
use serde::Serialize;
use serde_json::Value;

const USAGE: &str = "fwd-rates [--json] [--only WORDS] [ROUNDS]";
const DEFAULT_ROUNDS: usize = 3;
/// How far a rate may be from its limit: a twentieth.
const MOST: f64 = 0.05;
/// Bits a second.
const RATES: [u64; 3] = [10_000_000, 100_000_000, 500_000_000];
/// Seconds that count, behind one in which TCP finds its speed and the burst is used up.
const SECONDS: [&str; 4] = ["-t", "2", "-O", "1"];
const PORT: &str = "5301";
/// How long iperf3 may take to measure, and how long its server may take to listen.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is limited.
#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Side {
    Out,
    In,
}

/// What is sent.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
enum Protocol {
    Tcp,
    Udp,
}

/// A limit, and what came of it.
#[derive(Serialize)]
struct Row {
    #[serde(serialize_with = "by_name")]
    datapath: Datapath,
    protocol: Protocol,
    side: Side,
    /// Bits of IP packets a second.
    limit: u64,
    /// What arrived, as parts of the limit, a round each.
    rounds: Vec<f64>,
    /// Their median.
    median: f64,
}

impl Side {
    const ALL: [Self; 2] = [Self::Out, Self::In];

    /// The option of `fwd up`.
    const fn option(self) -> &'static str {
        match self {
            Self::Out => "--rate-out",
            Self::In => "--rate-in",
        }
    }

    /// How iperf3 inside is told.
    const fn options(self) -> &'static [&'static str] {
        match self {
            Self::Out => &[],
            Self::In => &["-R"],
        }
    }

    fn limited(self, rate: u64) -> AskedLimits {
        let [limit, none] = [rate, 0].map(|rate| Some(RateLimit::of_rate(rate)));
        match self {
            Self::Out => AskedLimits { outbound: limit, inbound: none },
            Self::In => AskedLimits { outbound: none, inbound: limit },
        }
    }
}

impl Protocol {
    const ALL: [Self; 2] = [Self::Tcp, Self::Udp];

    const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        }
    }

    /// IP bytes for a byte of payload.
    const fn headers(self) -> f64 {
        match self {
            Self::Tcp => 1_500.0 / 1_448.0,
            Self::Udp => 1_428.0 / 1_400.0,
        }
    }

    /// How iperf3 is told. UDP is asked for half as much again as may be.
    fn options(self, limit: u64) -> Vec<String> {
        match self {
            Self::Tcp => Vec::new(),
            Self::Udp => ["-u", "-l", "1400", "-b"]
                .map(Into::into)
                .into_iter()
                .chain([(limit + limit / 2).to_string()])
                .collect(),
        }
    }
}

fn by_name<S: serde::Serializer>(datapath: &Datapath, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.serialize_str(datapath.name())
}

impl Row {
    fn is_kept(&self) -> bool {
        (self.median - 1.0).abs() <= MOST
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("fwd-rates: {error}");
            ExitCode::from(error.kind.exit_code())
        }
    }
}

/// Whether all limits are kept, and used.
fn run() -> Result<bool> {
    let Arguments { json, rounds, only } = Arguments::read(USAGE, DEFAULT_ROUNDS, std::env::args().skip(1))?;
    let mut rows = rows(&only);
    if rows.is_empty() {
        let why = "no measurement has these words: they are such as `tc UDP --rate-in`";
        return Err(Error::new(Kind::Usage, "measure", only, why));
    }
    for round in 1..=rounds {
        eprintln!("round {round} of {rounds}");
        for datapath in Datapath::ALL {
            measure(datapath, rows.iter_mut().filter(|row| row.datapath == datapath))?;
        }
    }
    rows.iter_mut().for_each(|row| row.median = median(&row.rounds));
    if json {
        println!("{}", serde_json::to_string_pretty(&rows).doing("write", "JSON")?);
    } else {
        show(&rows, rounds);
    }
    Ok(rows.iter().all(Row::is_kept))
}

/// What is measured, as far as its words are asked for.
fn rows(only: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    let has_netkit = NETKIT.support() == Support::Supported;
    for datapath in Datapath::ALL.into_iter().filter(|datapath| has_netkit || !datapath.has_netkit()) {
        for protocol in Protocol::ALL {
            for side in Side::ALL {
                let words = format!("{} {} {}", datapath.name(), protocol.name(), side.option());
                if words.contains(only) {
                    let row = |limit| Row { datapath, protocol, side, limit, rounds: Vec::new(), median: 0.0 };
                    rows.extend(RATES.map(row));
                }
            }
        }
    }
    rows
}

/// Measures rows of one data path once, on a sandboxed host of their own.
fn measure<'a>(datapath: Datapath, rows: impl Iterator<Item = &'a mut Row>) -> Result<()> {
    let mut rows = rows.peekable();
    if rows.peek().is_none() {
        return Ok(());
    }
    let testbed = Testbed::new(&unique_prefix())?;
    let context = HostContext::new(RunDir::new(testbed.run_dir().join("run")));
    let name = Name::try_from(testbed.name("c1").as_str())?;
    let mut up = UpRequest::new(TargetRef::Named(name.clone()));
    up.options.datapath = Some(datapath);
    for row in rows {
        up.endpoint.limits = row.side.limited(row.limit);
        testbed.host().run(|| execute::up(&context, &up, &mut Unobserved))?;
        row.rounds.push(arrived(&Netns::open_named(&name)?, &testbed, row)? / row.limit as f64);
    }
    Ok(())
}

/// IP bits a second that arrive, from the namespace at the internet of the testbed or the other way.
fn arrived(inside: &Netns, testbed: &Testbed, row: &Row) -> Result<f64> {
    let address = testbed.uplink(0).outside[0].to_string();
    let server = ["iperf3", "-s", "-B", &address, "-p", PORT];
    let _server = Process::spawn(command_in(testbed.internet(0), &server))?;
    let load = row.protocol.options(row.limit);
    let client = ["iperf3", "-J", "-c", &address, "-p", PORT].into_iter().chain(SECONDS);
    let argv: Vec<&str> =
        client.chain(row.side.options().iter().copied()).chain(load.iter().map(String::as_str)).collect();
    // The server may not listen yet, and a first datagram may be lost while a neighbour is being found.
    let received = || {
        let output = run_to_end(command_in(inside, &argv), PATIENCE)?;
        let said: Value = serde_json::from_str(&output.stdout).unwrap_or_default();
        Ok(said["end"]["sum_received"]["bits_per_second"].as_f64())
    };
    Ok(wait_until(PATIENCE, "iperf3 measures", received)? * row.protocol.headers())
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

fn show(rows: &[Row], rounds: usize) {
    println!("{:<8} {:<8} {:<10} {:>8} {:>8} {:>13}", "DATAPATH", "PROTOCOL", "LIMIT", "MBIT/S", "OF IT", "ROUNDS");
    for row in rows {
        let Row { datapath, protocol, side, limit, rounds, median } = row;
        let lowest = rounds.iter().copied().fold(f64::INFINITY, f64::min);
        let highest = rounds.iter().copied().fold(0.0, f64::max);
        let remark = match row {
            row if row.is_kept() => "",
            Row { median, .. } if *median > 1.0 => "  exceeded",
            _ => "  not reached",
        };
        println!(
            "{:<8} {:<8} {:<10} {:>8} {median:>8.3} {:>13}{remark}",
            datapath.name(),
            protocol.name(),
            side.option(),
            limit / 1_000_000,
            format!("{lowest:.3}–{highest:.3}")
        );
    }
    println!("\nmedian of the rounds ({rounds} of {} s each), and the lowest and highest", SECONDS[1]);
}
