//! `fwd up`, by the same entry as the command.

use forwarder_common::abi::Timeout;
use ipnet::Ipv4Net;

use super::{Scale, by_hand::NETWORK, published::PORT};
use crate::{Comparison, Family, Path};
use fwd_base::{Error, Kind, Result};
use fwd_dataplane::{Dataplane, PublishedPorts, RunDir, Senders, Transport};
use fwd_engine::execute::{self, HostContext, Unobserved};
use fwd_kernel::{
    netlink,
    netns::{Name, Netns},
};
use fwd_plan::{Datapath, Ipv6, TableRequest, TargetRef, UpRequest};
use fwd_testbed::{INTERNET_IF, Testbed};

/// Namespaces for which the default network has addresses.
const USUAL: usize = 250;
/// Flows that the default table has room for; twice as many if nobody answers them.
const USUAL_FLOWS: usize = 1 << 16;

/// Idle time of the flows beside the measured one, seconds: they shall be there until the end.
const AS_LONG_AS_IT_TAKES: u32 = 24 * 3600;

/// Brings the namespaces up, and returns the last one.
pub(super) fn up(testbed: &Testbed, path: Path, scale: Scale, way: Comparison) -> Result<Netns> {
    let datapath = datapath(path)?;
    if datapath == Datapath::Xdp {
        // The internet's end as a network card would be: it finishes checksums, and takes frames from XDP.
        netlink::prepare_for_xdp(testbed.internet(0), INTERNET_IF)?;
    }
    // What reaches a published port from the host itself is of no interest, and nothing of the machine's is touched.
    let cgroup = testbed.cgroup().map(Into::into);
    let context = HostContext { cgroup, ..HostContext::new(run_dir(testbed)) };
    let (mut last, namespaces) = (None, scale.namespaces.max(1));
    for number in 0..namespaces {
        let name = Name::try_from(testbed.name(&format!("c{number}")).as_str())?;
        let request =
            UpRequest { table: table(scale.flows, number)?, ..UpRequest::new(TargetRef::Named(name.clone())) }
                .with_endpoint(|it| {
                    it.publish = if way.published && number + 1 == namespaces { ports() } else { Vec::new() }
                })
                .with_options(|it| {
                    it.datapath = Some(datapath);
                    it.subnet = subnet(scale.namespaces);
                    it.ipv6 = (way.family == Family::V6).then_some(Ipv6::Masquerade);
                });
        testbed.host().run(|| execute::up(&context, &request, &mut Unobserved))?;
        last = Some(name);
    }
    let missing = || Error::new(Kind::Usage, "bring up", "a namespace", "there shall be none");
    Netns::open_named(&last.ok_or_else(missing)?)
}

/// Flows in the table.
pub(super) fn flows(testbed: &Testbed) -> Result<usize> {
    let cookie = testbed.host().cookie()?;
    let Some(plane) = Dataplane::open(&run_dir(testbed), cookie)? else { return Ok(0) };
    let usage = plane.occupancy()?.total;
    Ok((usage.half_open + usage.established) as usize)
}

fn run_dir(testbed: &Testbed) -> RunDir {
    // Below the testbed's own directory, because the last command removes it.
    RunDir::new(testbed.run_dir().join("run"))
}

/// What `--datapath` would name.
fn datapath(path: Path) -> Result<Datapath> {
    let name = path.id().trim_start_matches("fwd-");
    let unknown = || Error::new(Kind::Usage, "use", format!("data path {name}"), "fwd has none of that name");
    Datapath::ALL.into_iter().find(|datapath| datapath.name() == name).ok_or_else(unknown)
}

/// The port at which a load is served, of TCP and of UDP.
fn ports() -> Vec<PublishedPorts> {
    let of = |transport| PublishedPorts {
        host: None,
        first: PORT,
        last: PORT,
        inside: PORT,
        transport,
        senders: Senders::default(),
    };
    Transport::ALL.map(of).to_vec()
}

/// None: the default.
fn subnet(namespaces: usize) -> Option<Ipv4Net> {
    (namespaces > USUAL).then_some(NETWORK)
}

/// A table with room for the flows; decided by the first `up`.
fn table(flows: usize, number: usize) -> Result<TableRequest> {
    if number > 0 || flows == 0 {
        return Ok(TableRequest::default());
    }
    let most = u32::try_from(flows.max(USUAL_FLOWS)).map_err(|_| {
        Error::new(Kind::Usage, "make", format!("a table of {flows} flows"), "that is more than a table can have")
    })?;
    let timeouts = vec![(Timeout::UdpHalfOpen, AS_LONG_AS_IT_TAKES)];
    Ok(TableRequest { max_flows: Some(most), timeouts, ..TableRequest::default() })
}
