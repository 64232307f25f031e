//! What `up` refuses for what there is already, each with what to do instead.

use forwarder_common::abi::ABI_VERSION;

use super::{Actual, NS_IF, TargetRef, UpRequest, desired::Network, overlap, subnet};
use fwd_base::{Error, Kind, Result, text::word};
use fwd_dataplane::{Backend, INTERFACE_BLOCKS, TCX};

pub(super) fn take_out(target: &TargetRef) -> String {
    format!("take it out first: `fwd down {}`", target.option())
}

/// The first of fwd0, fwd1, … that is neither a network nor an interface.
pub(super) fn free_name(actual: &Actual) -> String {
    let is_network = |name: &str| actual.records.networks.iter().any(|network| network.name == name);
    let is_free = |name: &String| !is_network(name) && actual.host.net.link(name).is_none();
    let mut names = (0..).map(|number: u32| format!("fwd{number}"));
    names.find(is_free).unwrap_or_default()
}

/// What to do when the addresses of a network are all taken.
pub(super) fn no_room(actual: &Actual) -> String {
    let name = free_name(actual);
    match subnet::roomy(actual) {
        Some(subnet) => {
            let room = subnet::room(subnet);
            format!(
                "use another network, such as one with room for {room} namespaces: --network {name} --subnet {subnet}"
            )
        }
        None => format!("use another network: --network {name}"),
    }
}

/// Refuses a way to attach that is not there.
pub(super) fn attach(request: &UpRequest, actual: &Actual, network: &Network) -> Result<()> {
    let Some(attach) = request.attach else { return Ok(()) };
    let refuse = |why: &str, remedy| {
        Error::new(Kind::Unsupported, "use", format!("--attach {}", attach.name()), why).remedy(remedy)
    };
    if !network.datapath.is_ebpf() {
        return Err(refuse("datapath kernel: no program is attached", "leave it out, or use --datapath tc"));
    }
    if attach == Backend::Tcx && actual.no_tcx {
        return Err(refuse(&TCX.absence(), "leave it out: clsact is taken"));
    }
    Ok(())
}

pub(super) fn foreign_bridge(actual: &Actual, bridge: &str) -> Result<()> {
    match actual.host.net.link(bridge) {
        Some(link) if !actual.host.owner.has_bridge(link) => {
            let why = "an interface of that name exists, and fwd did not make it";
            Err(Error::new(Kind::Conflict, "create", format!("bridge {bridge}"), why).remedy(format!(
                "rename it (`ip link set {} name …`), or use another network: --network {}",
                word(bridge),
                free_name(actual)
            )))
        }
        _ => Ok(()),
    }
}

/// Refuses a namespace that has a life of its own: a default route or an `eth0`, or the network's addresses.
pub(super) fn occupied(request: &UpRequest, actual: &Actual, network: &Network) -> Result<()> {
    let Some(inside) = actual.target_netns() else { return Ok(()) };
    let refuse = |why: String| Error::new(Kind::Conflict, "attach", request.target.to_string(), why);
    let exec = format!("fwd exec {}", request.target.option());
    if inside.net.ns_if().is_some() {
        // A container manager has connected it already.
        let container = match request.target {
            TargetRef::Named(_) => "",
            TargetRef::Pid(_) | TargetRef::Path(_) => {
                "start the container without a network of its own (`docker run --network none …`; podman likewise); "
            }
        };
        return Err(refuse(format!("it has an interface {NS_IF} of its own")).remedy(format!(
            "{container}if nothing needs it, delete it: `{exec} -- ip link delete {NS_IF}`; or use a fresh namespace"
        )));
    }
    if let Some(route) = inside.net.default_route() {
        return Err(refuse(format!(
            "it has a default route of its own, through {}",
            inside.net.name_of(route.ifindex)
        ))
        .remedy(format!("delete the route: `{exec} -- ip route delete default`; or use a fresh namespace")));
    }
    if let Some(occupant) = overlap::inside(actual, network.gateway.trunc()) {
        let why = format!("network {} has {}, and {occupant}", network.name, network.gateway.trunc());
        let other = free_name(actual);
        return Err(
            refuse(why).remedy(format!("use another network, which is given other addresses: --network {other}"))
        );
    }
    Ok(())
}

/// Refuses what there are no counters for.
pub(super) fn uncounted(actual: &Actual, network: &Network) -> Result<()> {
    let known = actual.records.uplinks.iter().any(|uplink| uplink.index == network.uplink.index);
    // One of an endpoint, two of an uplink.
    let uplinks = actual.records.uplinks.len() + usize::from(!known);
    let wanted = actual.records.endpoints.len() + 1 + 2 * uplinks;
    if wanted <= INTERFACE_BLOCKS {
        return Ok(());
    }
    let why = format!("a host counts for {INTERFACE_BLOCKS} of them (an uplink takes two), and all are taken");
    Err(Error::new(Kind::Failed, "attach", "one more endpoint", why)
        .remedy("take down endpoints that are not needed; `fwd ls` lists them"))
}

/// Refuses to work beside another version, whose records cannot be read.
///
/// # Errors
/// [`Kind::Conflict`] if there is one.
pub fn refuse_others(others: &[String], doing: &str) -> Result<()> {
    let Some(name) = others.first() else { return Ok(()) };
    let why = format!("another version of fwd brought it up (its layout is {name}, this one's {ABI_VERSION})");
    Err(Error::new(Kind::Conflict, doing, "what is up here", why)
        .remedy("`fwd down --all` takes down what any version brought up; then bring the namespaces up again"))
}
