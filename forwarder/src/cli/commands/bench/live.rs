//! `fwd bench --serve` and `--target`.

use std::{
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, ToSocketAddrs as _},
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

use crate::{
    Context as _, Error, Kind, Result,
    bench::{
        Options, Progress,
        live::{self, Live},
        load::{Listener, PORT, listening_address},
        report::Report,
    },
    cli::{args::BenchArgs, session::Session},
    netns::{Name, Netns},
};

/// Serves others until a signal, or for `duration`.
pub(super) fn serve(
    session: &mut Session<'_, '_>,
    address: Option<&str>,
    once: bool,
    duration: Option<Duration>,
) -> Result<()> {
    let address = address.map_or(Ok(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, PORT)), listening_address)?;
    let over = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        flag::register(signal, Arc::clone(&over)).doing("wait for", "a signal")?;
    }
    let listener = Listener::bind(address)?;
    let (err, _) = session.err();
    // Whether anybody reads it is not worth a failure.
    let mut tell = |what: &str| drop(writeln!(err, "{what}"));
    let address = listener.address();
    let until = duration.map_or_else(String::new, |time| format!(", or in {}", humantime::format_duration(time)));
    tell(&format!("serving on {address}, loads on port {}; end with Ctrl-C{until}", address.port().saturating_add(1)));
    let began = Instant::now();
    let is_over = || over.load(Ordering::Relaxed) || duration.is_some_and(|duration| began.elapsed() >= duration);
    listener.serve(once, &is_over, &mut tell)
}

/// Measures a live path.
pub(super) fn measure(
    options: &Options,
    target: &str,
    args: &BenchArgs,
    progress: &mut dyn Progress,
) -> Result<Report> {
    let (ns, name) = match (&args.ns, args.pid) {
        (Some(name), _) => (Netns::open_named(&Name::try_from(name.as_str())?)?, name.clone()),
        (None, Some(pid)) => (Netns::open_pid(pid)?, format!("pid {pid}")),
        (None, None) => (Netns::current()?, "host".to_owned()),
    };
    let server = resolve(target)?;
    live::run(options, &Live { ns: &ns, name, server }, progress)
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
