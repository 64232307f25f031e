//! `fwd latency`.

mod args;
mod conversations;
mod path;
mod watch;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::{
    Result,
    cli::session::Session,
    dataplane::{Point, Probes},
    netlink::{LinkLayer, Netlink},
};

pub(super) use self::args::HELP;
pub(crate) use self::args::LatencyArgs;
use self::{path::MeasuredPath, watch::Watch};

/// Measures until the time is over or the user has seen enough.
pub(super) fn run(session: &mut Session<'_, '_>, args: &LatencyArgs) -> Result<()> {
    raise_file_limit();
    let (paths, warnings) = path::find(session, args)?;
    session.warn(&warnings)?;
    let probes = Probes::load(u32::try_from(paths.len()).unwrap_or(u32::MAX), args.round_trips)?;
    Watch::new(probes, &paths, args)?.run(session)
}

/// Attaches to every uplink once and to each namespace, unless `stop` says that the user has seen enough: each takes some ten
/// milliseconds.
fn attach(probes: &mut Probes, paths: &[MeasuredPath], stop: impl Fn() -> bool) -> Result<()> {
    let netlink = Netlink::here()?;
    let mut uplinks: Vec<(u32, &str)> = paths.iter().map(|path| (path.uplink, path.uplink_name.as_str())).collect();
    uplinks.sort_unstable();
    uplinks.dedup();
    // The ends first: what has begun before they are there would never arrive.
    for (ifindex, ifname) in uplinks {
        let bare = netlink.link_by_index(ifindex)?.is_some_and(|link| link.layer == LinkLayer::None);
        probes.attach(if bare { Point::UplinkL3 } else { Point::Uplink }, ifindex, ifname)?;
    }
    for (number, path) in (0..).zip(paths).take_while(|_| !stop()) {
        for address in &path.addresses {
            probes.add_address(number, *address)?;
        }
        match &path.inside {
            Some(ns) => ns.run(|| probes.attach(Point::NsInside, path.ifindex, &path.ifname))?,
            None => probes.attach(Point::NsHostVeth, path.ifindex, &path.ifname)?,
        }
    }
    Ok(())
}

/// A namespace takes several descriptors, and there may be a thousand of them. Where the limit stays, few still work.
fn raise_file_limit() {
    let raised =
        getrlimit(Resource::RLIMIT_NOFILE).and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        tracing::debug!("the limit of open files stays: {error}");
    }
}

/// The interfaces of a namespace, for hints.
fn names(netlink: &Netlink) -> Result<String> {
    Ok(netlink.links()?.iter().map(|link| link.name.as_str()).collect::<Vec<_>>().join(", "))
}
