//! `fwd bench --serve` and `--target`.

use std::{
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, ToSocketAddrs as _},
    ops::RangeInclusive,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use signal_hook::{
    consts::{SIGINT, SIGTERM},
    flag,
};

use super::{args::BenchArgs, refused, time};
use crate::{
    Context as _, Error, Kind, Result,
    bench::{
        Options, Progress,
        live::{self, Live},
        load::{Limits, Listener, PORT, give_up_privileges, listening_address},
        report::Report,
    },
    cli::{args::TargetArgs, session::Session, target},
    execute,
    netns::Netns,
    testbed::Interrupt,
};

/// For how long others can be served, and how long one client.
const SERVING: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(30 * 24 * 3600);
/// Names of bits per second.
const UNITS: [(char, u64); 4] = [('k', 1_000), ('M', 1_000_000), ('G', 1_000_000_000), ('T', 1_000_000_000_000)];

/// Serves others until a signal, or for as long as it is told.
pub(super) fn serve(session: &mut Session<'_, '_>, address: Option<&str>, args: &BenchArgs) -> Result<()> {
    let address = address.map_or(Ok(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, PORT)), listening_address)?;
    let limits = limits(args)?;
    let duration = args.duration.as_deref().map(|text| time("--duration", text, SERVING)).transpose()?;
    let over = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        flag::register(signal, Arc::clone(&over)).doing("wait for", "a signal")?;
    }
    let listener = Listener::bind(address, limits)?;
    // Before anybody is answered, and before there is a second thread.
    let user = give_up_privileges()?;
    listener.check_data_port()?;
    let (err, _) = session.err();
    // Whether anybody reads it is not worth a failure.
    let mut tell = |what: &str| drop(writeln!(err, "{what}"));
    greet(&listener, &user, limits, duration, &mut tell);
    let began = Instant::now();
    let is_over = || over.load(Ordering::Relaxed) || duration.is_some_and(|duration| began.elapsed() >= duration);
    listener.serve(args.once, &is_over, &mut tell)
}

/// What whoever started a server has to know.
fn greet(listener: &Listener, user: &str, limits: Limits, duration: Option<Duration>, tell: &mut dyn FnMut(&str)) {
    let address = listener.address();
    let host = if address.ip().is_unspecified() { "HOST".to_owned() } else { address.ip().to_string() };
    let until = duration.map_or_else(String::new, |time| format!(", or in {}", humantime::format_duration(time)));
    let rate = limits.rate.map_or_else(String::new, |rate| format!(" and {} Mbit/s", rate as f64 / 1e6));
    let loads =
        Some(listener.data_port()).filter(|it| *it != 0).map_or_else(|| "any port".into(), |it| format!("port {it}"));
    tell(&format!("serving on {address} as {user}, loads on {loads}; end with Ctrl-C{until}"));
    tell(&format!("one client at a time, for {}{rate} at most", humantime::format_duration(limits.time)));
    tell(&format!("to measure: fwd bench --target {host}:{} --token {}", address.port(), listener.token()));
}

fn limits(args: &BenchArgs) -> Result<Limits> {
    let usual = Limits::default();
    Ok(Limits {
        time: args.max_time.as_deref().map_or(Ok(usual.time), |text| time("--max-time", text, SERVING))?,
        rate: args.max_rate.as_deref().map(rate).transpose()?,
    })
}

/// Bits per second: `500M`.
fn rate(text: &str) -> Result<u64> {
    let (number, unit) =
        UNITS.iter().find_map(|(name, unit)| Some((text.strip_suffix(*name)?, *unit))).unwrap_or((text, 1));
    let rate = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    rate.filter(|rate| *rate > 0).ok_or_else(|| {
        refused(
            "--max-rate",
            text,
            "it takes bits per second, with k, M, G or T for thousands of them",
            "--max-rate 500M",
        )
    })
}

/// Measures a live path.
pub(super) fn measure(
    options: &Options,
    target: &str,
    args: &BenchArgs,
    interrupt: &Interrupt,
    progress: &mut dyn Progress,
) -> Result<Report> {
    let (ns, pid, container) = (args.ns.clone(), args.pid, args.container.clone());
    let from = target::given(&TargetArgs { ns, pid, container, ..TargetArgs::default() })?;
    let (ns, name) = match from {
        Some(from) => (execute::open_target(&from)?, from.label()),
        None => (Netns::current()?, "host".to_owned()),
    };
    let server = resolve(target)?;
    live::run(options, &Live { ns: &ns, name, server, token: args.token.clone() }, interrupt, progress)
}

/// `HOST:PORT` or `HOST`, as this machine's resolver knows it.
fn resolve(target: &str) -> Result<SocketAddrV4> {
    let failed =
        |kind, why: String| Error::new(kind, "find", target, why).remedy(format!("give the server as ADDRESS:{PORT}"));
    let full = if target.contains(':') { target.to_owned() } else { format!("{target}:{PORT}") };
    let found = full.to_socket_addrs().map_err(|error| match error.kind() {
        std::io::ErrorKind::InvalidInput => failed(Kind::Usage, error.to_string()),
        _ => failed(Kind::NotFound, error.to_string()),
    })?;
    let v4 = |address| match address {
        SocketAddr::V4(address) => Some(address),
        SocketAddr::V6(_) => None,
    };
    let mut addresses = found.filter_map(v4);
    addresses.next().ok_or_else(|| failed(Kind::Unsupported, "it has no IPv4 address".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_bits_per_second_in_thousands() {
        let bits = |text| rate(text).expect("a rate");
        assert_eq!((bits("1"), bits("64k"), bits("500M"), bits("2G")), (1, 64_000, 500_000_000, 2_000_000_000));
        for nonsense in ["", "0", "0M", "M", "-1", "1.5G", "1m", "99999999999T", "1 M"] {
            let error = rate(nonsense).expect_err(nonsense);
            assert!(error.kind == Kind::Usage && error.remedy.is_some(), "{error}");
        }
    }
}
