//! The pool: endpoints that are there before anybody asks for them, each in a namespace of its own. What takes time was done then, above all
//! to wait for the kernel, which attaches programs.

use crate::{
    Actual, EndpointOptions, EndpointRecord, NetConfig, NetworkRecord, Object, TargetNetns, TargetRef, Undo, UpRequest,
    desired::Asked, object,
};
use fwd_base::{Error, Kind, Result, text::word};
use fwd_kernel::netns::Name;

/// Whether an endpoint of the pool can become what is asked for of `network`. What is left open of the network is the network's.
#[must_use]
pub fn fits(request: &UpRequest, network: &NetworkRecord, record: &EndpointRecord) -> bool {
    let EndpointOptions { ip, ip6, mac, allow_spoof, source, no_default_route, metric, routes, attach, .. } =
        &request.endpoint;
    record.marks.pooled
        && record.network == network.name
        && request.caller.is_none()
        && !request.endpoint.pooled
        && ip.is_none_or(|ip| record.address == Some(ip))
        && ip6.is_none_or(|ip| record.address6 == Some(ip))
        && mac.is_none_or(|mac| record.mac == mac.0)
        && attach.is_none_or(|attach| record.attach == attach)
        && request.ifname.as_ref().is_none_or(|ifname| record.id.ifname == *ifname)
        && (!allow_spoof || record.allow_spoof)
        // In an internal network it has none in any case.
        && (!no_default_route || record.no_default_route)
        && (source.or(network.source), *metric, routes.is_empty())
            == (record.source, record.metric, record.routes.is_empty())
}

/// What is not as it was left inside of a namespace of the pool, in words; none if all is. Nobody has been given it, so nobody has anything
/// to do there: its `lo`, its interface, and their addresses.
#[must_use]
pub fn why_changed(record: &EndpointRecord, inside: &TargetNetns) -> Option<String> {
    if inside.cookie != record.cookie {
        return Some("another namespace has its name".into());
    }
    let NetConfig { links, addresses, .. } = &inside.net;
    let Some(own) = inside.net.link(&record.id.ifname) else { return Some(format!("it lacks {}", record.id.ifname)) };
    if own.mac != Some(record.mac) {
        return Some(format!("the hardware address of {} is another", own.name));
    }
    // A kernel may give a namespace interfaces of tunnels (`fb_tunnels_only_for_init_net`), which are down.
    if let Some(other) = links.iter().find(|link| !link.loopback && link.index != own.index && link.up) {
        return Some(format!("it has an interface {} of somebody", other.name));
    }
    let is_own = |address: std::net::IpAddr| record.addresses().any(|own| own == address) || is_local(address);
    let other = addresses.iter().find(|(_, address)| !is_own(address.addr()));
    other.map(|(index, address)| format!("{} has the address {}", inside.net.name_of(*index), address.addr()))
}

/// Whether the kernel gives it by itself, or it leads nowhere.
fn is_local(address: std::net::IpAddr) -> bool {
    match address {
        std::net::IpAddr::V4(address) => address.is_loopback(),
        std::net::IpAddr::V6(address) => address.is_loopback() || address.is_unicast_link_local(),
    }
}

/// Refuses to attach a namespace of the pool by one more interface, as if it were somebody's: who refills would take it away; and to prepare
/// one in a namespace that is somebody's.
///
/// # Errors
/// [`Kind::Conflict`].
pub(super) fn refuse(asked: &Asked, actual: &Actual) -> Result<()> {
    let Some(inside) = actual.target_netns() else { return Ok(()) };
    let refuse = |doing: &str, why: &str| Error::new(Kind::Conflict, doing, asked.target.to_string(), why);
    let mut own = actual.records.endpoints.iter().filter(|it| it.cookie == inside.cookie);
    if asked.options.pooled {
        let is_own = own.clone().all(|it| it.marks.pooled) && (inside.made || own.next().is_some());
        let why = "it is somebody's: what is in the pool has namespaces that were made for it";
        return if is_own { Ok(()) } else { Err(refuse("prepare", why).remedy("use another name")) };
    }
    match own.find(|it| it.marks.pooled && it.id.ifname != asked.id.ifname) {
        Some(record) => Err(refuse("attach", "it is of the pool, and nobody's").remedy(format!(
            "take it first: `fwd up {} --network {}`",
            asked.target.option(),
            word(&record.network)
        ))),
        None => Ok(()),
    }
}

/// Whether a network that goes with its last endpoint has a pool, which nobody desires and which keeps it.
pub(super) fn stays_in(network: &str, actual: &Actual) -> bool {
    actual.records.endpoints.iter().any(|it| it.marks.pooled && it.network == network)
}

/// Whether somebody has been given the namespace with this cookie.
pub(super) fn is_given(cookie: u64, actual: &Actual) -> bool {
    actual.records.endpoints.iter().any(|it| it.cookie == cookie && !it.marks.pooled)
}

/// That the target's endpoint is of the pool no more. One that a command was taking when it was killed has two names still, or the undo log
/// says so: its record has the new one already, or it is of the pool yet. Any other with a second name was given it by somebody.
pub(super) fn taken(asked: &Asked, actual: &Actual, network: &str, resolv_conf: bool) -> Option<Object> {
    let (record, cookie) = (actual.attached()?, actual.target_netns()?.cookie);
    let TargetRef::Named(to) = &asked.target else { return None };
    let other = |entry: &Undo| match entry {
        Undo::Netns { name, cookie: Some(its) } if *its == cookie && name != to => Some(name.clone()),
        _ => None,
    };
    let others: Vec<Name> = actual.undo.iter().filter_map(other).collect();
    let pooled = record.ns.as_deref().filter(|_| record.marks.pooled).and_then(|ns| Name::try_from(ns).ok());
    let is_called = record.ns.as_deref() == Some(to.as_str());
    let from = pooled.or_else(|| others.first().filter(|_| is_called).cloned()).filter(|_| !asked.options.pooled)?;
    Some(Object::EndpointTaken(object::EndpointTaken {
        host_if: actual.host.net.name_of(record.index),
        ns_if: record.id.ifname.clone(),
        network: network.into(),
        cookie,
        from,
        to: to.clone(),
        others,
        resolv_conf,
    }))
}
