//! CHECK: whether a container is attached as it was.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::Deserialize;

use super::chained;
use crate::{
    call::Call,
    config,
    delegate::Delegate,
    environment::Command,
    failure::{Code, Failure, Result},
};
use fwd_base::text;
use fwd_dataplane::{Backend, Dataplane, Described};
use fwd_kernel::{netlink::Netlink, netns::Netns};
use fwd_plan::{Datapath, Treatment};
use fwd_plugin::Answer;

/// What of a result is looked at.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Previous {
    interfaces: Vec<Interface>,
    ips: Vec<Ip>,
    routes: Vec<Route>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Interface {
    name: String,
    mac: String,
    sandbox: String,
}

#[derive(Debug, Deserialize)]
struct Ip {
    address: IpNet,
    #[serde(default)]
    interface: Option<usize>,
}

#[derive(Debug, Deserialize)]
struct Route {
    dst: IpNet,
    #[serde(default)]
    gw: Option<IpAddr>,
}

/// Looks at everything that ADD made. More than that may be there.
pub(super) fn run(call: &Call) -> Result<Answer> {
    let Some(previous) = &call.config.previous else {
        let msg = "prevResult is missing: CHECK compares with what ADD answered";
        return Err(Failure::new(Code::InvalidConfig, msg, "the runtime has to hand it over (CNI 0.4.0 and later)"));
    };
    let previous: Previous = config::read(previous)?;
    let id = call.environment.id();
    let plane = call.host.at.dataplane()?;
    let found = call.endpoint(plane.as_ref())?;
    let Some((plane, (ifindex, endpoint))) = plane.as_ref().zip(found) else {
        // Behind another plugin there may be nothing to do for it.
        let nothing = chained::is_always(call) && call.config.endpoint.publish.is_empty();
        return if nothing { Ok(Answer::default()) } else { Err(differs(format!("endpoint {id} is not attached"))) };
    };
    let ns = call.netns()?;
    if ns.cookie()? != endpoint.record.netns_cookie {
        return Err(differs(format!("endpoint {id} is in another namespace than {}", call.environment.netns)));
    }
    ports(call, plane, ifindex, &endpoint)?;
    if !chained::is_always(call) {
        if let Some(delegate) = Delegate::of(&call.config, &call.environment)? {
            delegate.run(Command::Check)?;
        }
        inside(call, &ns, &endpoint, &previous)?;
        at_host(plane, ifindex, &endpoint)?;
    }
    Ok(Answer::default())
}

/// The interface in the container, its addresses and routes.
fn inside(call: &Call, ns: &Netns, endpoint: &Described, previous: &Previous) -> Result<()> {
    let ifname = &call.environment.ifname;
    let netlink = Netlink::open(ns)?;
    let link = netlink.link(ifname)?.ok_or_else(|| differs(format!("there is no interface {ifname} inside")))?;
    if !link.up {
        return Err(differs(format!("the interface {ifname} inside is down")));
    }
    let mac = link.mac.unwrap_or_default();
    if mac != endpoint.record.mac {
        let (mac, was) = (text::mac(mac), text::mac(endpoint.record.mac));
        return Err(differs(format!("the hardware address of {ifname} is {mac}, not {was}")));
    }
    let is_it = |it: &Interface| it.name == *ifname && !it.sandbox.is_empty();
    let place = previous.interfaces.iter().position(is_it);
    let Some(said) = place.and_then(|place| previous.interfaces.get(place)) else {
        return Err(differs(format!("prevResult names no interface {ifname} in the container")));
    };
    if !said.mac.is_empty() && !said.mac.eq_ignore_ascii_case(&text::mac(mac)) {
        return Err(differs(format!("the hardware address of {ifname} is {}, not {}", text::mac(mac), said.mac)));
    }
    let addresses = netlink.addresses(Some(link.index))?;
    let of_interface = previous.ips.iter().filter(|ip| ip.interface.is_none() || ip.interface == place);
    if let Some(ip) = of_interface.into_iter().find(|ip| addresses.iter().all(|(_, it)| *it != ip.address)) {
        return Err(differs(format!("{ifname} has no address {}", ip.address)));
    }
    let routes = netlink.routes()?;
    let is_there = |route: &Route| {
        routes.iter().any(|it| it.destination == route.dst && (route.gw.is_none() || it.gateway == route.gw))
    };
    match previous.routes.iter().find(|route| !is_there(route)) {
        Some(route) => Err(differs(format!("there is no route to {} inside", route.dst))),
        None => Ok(()),
    }
}

/// The host-side veth, and the program there.
fn at_host(plane: &Dataplane, ifindex: u32, endpoint: &Described) -> Result<()> {
    let Described { record, metadata, .. } = endpoint;
    let host_if = &metadata.host_if;
    let link = if plane.is_same_device(ifindex)? { Netlink::here()?.link_by_index(ifindex)? } else { None };
    let link = link.ok_or_else(|| differs(format!("the host-side veth {host_if} is gone")))?;
    if !link.up {
        return Err(differs(format!("the host-side veth {host_if} is down")));
    }
    let bridging = Treatment::of_flags(record.flags).bridging;
    if let Some(why) = bridging.wrong_with(link.controller, record.network) {
        return Err(differs(format!("the host-side veth {host_if} {why} (network {})", metadata.network)));
    }
    if Datapath::of_flags(record.flags).is_ebpf() {
        let attached = Backend::ALL.map(|backend| plane.is_endpoint_attached(backend, ifindex));
        if !attached.into_iter().collect::<fwd_base::Result<Vec<_>>>()?.contains(&true) {
            return Err(differs(format!("no program is attached to the host-side veth {host_if}")));
        }
    }
    Ok(())
}

/// The ports that lead to it.
fn ports(call: &Call, plane: &Dataplane, ifindex: u32, endpoint: &Described) -> Result<()> {
    let publications = plane.publications()?;
    let own = |it: &&fwd_dataplane::Publication| it.endpoint == ifindex && it.cookie == endpoint.record.netns_cookie;
    match call
        .config
        .endpoint
        .publish
        .iter()
        .find(|ports| publications.iter().filter(own).all(|it| it.ports != **ports))
    {
        Some(ports) => Err(differs(format!("port {ports} does not lead to the container"))),
        None => Ok(()),
    }
}

fn differs(msg: String) -> Failure {
    Failure::new(Code::Other, msg, "start the container again: DEL and ADD attach it anew")
}
