//! Interfaces of the host, their addresses, and ports.

use std::collections::BTreeSet;

use ipnet::IpNet;

use super::{Check, Finding, Subject, Verdict, shown};
use fwd_base::{Result, text::word};
use fwd_dataplane::sees_offloads;
use fwd_kernel::netlink::{Link, offloads};
use fwd_plan::{NetworkRecord, route_mtus};
use fwd_render::UPLINK_STATES;

pub(super) const UPLINKS: Check = Check {
    name: "uplinks",
    looks_at: "the uplinks, and interfaces that the host's routes lead by",
    why: "what would leave by an interface that no program guards is refused, and of one that is down or gone nothing leaves at all",
    look: uplinks,
};

pub(super) const MTUS: Check = Check {
    name: "mtus",
    looks_at: "MTUs of networks, uplinks and routes",
    why: "packets that are larger than the way takes have to be fragmented, or are refused",
    look: mtus,
};

pub(super) const OFFLOADS: Check = Check {
    name: "offloads",
    looks_at: "whether uplinks finish checksums (tx-checksumming)",
    why: "where the kernel hides what a sender leaves to the card, only a card that finishes checksums keeps a forged one from being written",
    look: checksums,
};

pub(super) const SUBNETS: Check = Check {
    name: "subnets",
    looks_at: "addresses and routes of the host within the subnets of networks",
    why: "with the same addresses in two places, one of them is not reached",
    look: subnets,
};

pub(super) const PORTS: Check = Check {
    name: "ports",
    looks_at: "sockets of the host on ports that are published",
    why: "packets go to the namespace, and the program of the host waits in vain",
    look: ports,
};

fn uplinks(subject: &Subject<'_>) -> Result<Vec<Finding>> {
    let Some(state) = &subject.state else { return Ok(Vec::new()) };
    let [up, down, gone, _] = UPLINK_STATES;
    let of = |name: &str| {
        let records = &subject.actual.records;
        let index = records.uplinks.iter().find(|uplink| uplink.name == name).map(|uplink| uplink.index);
        let network = records.networks.iter().find(|network| Some(network.uplink) == index);
        network.or_else(|| records.networks.iter().find(|network| network.follows_routes()))
    };
    let mut findings = Vec::new();
    for view in state.uplinks()? {
        let name = shown(view.uplink.exact());
        let again = of(view.uplink.exact()).and_then(|network| subject.up_again(&network.name));
        let finding = if view.state == gone {
            let what = format!("{name} is gone: `fwd uplink rm {}`, or make it anew and `fwd up` again", word(&name));
            Finding::new(Verdict::Fail, what)
        } else if !view.guarded && !view.unguarded_on_purpose {
            let what = format!("no program guards what leaves by {name}: `fwd uplink add {}`", word(&name));
            Finding::new(Verdict::Fail, what).with(again)
        } else if view.state == down {
            let line = format!("ip link set dev {} up", word(&name));
            Finding::new(Verdict::Warn, format!("{name} is down: {}", subject.command(line)))
        } else {
            Finding::new(
                Verdict::Ok,
                format!("{name} is {up} and {}", if view.guarded { "guarded" } else { "translated by nftables" }),
            )
        };
        findings.push(finding);
    }
    Ok(findings)
}

fn mtus(subject: &Subject<'_>) -> Result<Vec<Finding>> {
    let (records, net) = (&subject.actual.records, &subject.actual.host.net);
    let mut findings = Vec::new();
    for network in &records.networks {
        let Some(link) = net.by_index(network.uplink).filter(|link| link.mtu < network.mtu) else { continue };
        let line = format!("ip link set dev {} mtu {}", word(&shown(&link.name)), network.mtu);
        let what = format!(
            "network {} has an MTU of {} bytes, {} takes {}: {}, or take the network down and up again with --mtu {}",
            network.name,
            network.mtu,
            shown(&link.name),
            link.mtu,
            subject.command(line),
            link.mtu
        );
        findings.push(Finding::new(Verdict::Warn, what));
    }
    if let Some(state) = subject.state.as_ref().filter(|state| state.plane.is_loaded())
        && state.plane.route_mtus()? != route_mtus(&net.routes)
    {
        let again = records.networks.iter().find_map(|network| subject.up_again(&network.name));
        let command = again.as_ref().map_or_else(|| "any `fwd up`".into(), |mend| format!("`{}`", mend.command()));
        let what = format!("the MTUs that routes ask for have changed since fwd read them: {command} reads them again");
        findings.push(Finding::new(Verdict::Warn, what).with(again));
    }
    Ok(findings)
}

fn checksums(subject: &Subject<'_>) -> Result<Vec<Finding>> {
    const CHECKSUMS: &str = "tx-checksumming";
    if subject.actual.records.uplinks.is_empty() {
        return Ok(Vec::new());
    }
    if sees_offloads() {
        return Ok(vec![Finding::new(Verdict::Ok, "programs see what a sender leaves to the card")]);
    }
    let mut findings = Vec::new();
    for uplink in &subject.actual.records.uplinks {
        let Some(link) = subject.actual.host.net.by_index(uplink.index) else { continue };
        if !offloads(&subject.at.host, &link.name)?.contains(&CHECKSUMS) {
            let line = subject.command(format!("ethtool -K {} tx on", word(&shown(&link.name))));
            let what = format!(
                "programs do not see what a sender leaves to the card, and {} finishes no checksums, so that a namespace with CAP_NET_RAW can \
                 have one written over its port: {line}",
                shown(&link.name)
            );
            findings.push(Finding::new(Verdict::Warn, what));
        }
    }
    Ok(findings)
}

fn subnets(subject: &Subject<'_>) -> Result<Vec<Finding>> {
    let networks = subject.actual.records.networks.iter();
    let each = networks.flat_map(|network| network.subnets().map(move |subnet| (network, subnet)));
    Ok(each.flat_map(|(network, subnet)| clashes(subject, network, subnet)).collect())
}

/// What else has addresses of a network: interfaces, and routes that are as narrow as the network's own, or narrower.
fn clashes(subject: &Subject<'_>, network: &NetworkRecord, subnet: IpNet) -> Vec<Finding> {
    /// `RT_TABLE_MAIN`.
    const MAIN: u32 = 254;
    let net = &subject.actual.host.net;
    let overlaps = |other: &IpNet| subnet.contains(other) || other.contains(&subnet);
    let mut found: BTreeSet<(u32, String)> = BTreeSet::new();
    let inside = net.addresses.iter().filter(|(index, it)| *index != network.index && subnet.contains(&it.addr()));
    found.extend(inside.map(|(index, address)| (*index, format!("address {address}"))));
    let narrow = |prefix: &IpNet| prefix.prefix_len() >= subnet.prefix_len();
    for route in net.routes.iter().filter(|it| it.table == MAIN && it.ifindex != network.index) {
        if narrow(&route.destination) && overlaps(&route.destination) {
            found.insert((route.ifindex, format!("route {}", route.destination)));
        }
    }
    let name =
        |index: u32| net.by_index(index).map_or_else(|| format!("interface {index}"), |link: &Link| shown(&link.name));
    let finding = |(index, what): (u32, String)| {
        let (kind, prefix) = what.split_once(' ').unwrap_or(("route", &what));
        let verb = if kind == "address" { "addr" } else { "route" };
        let line = format!("ip {verb} del {prefix} dev {}", word(&name(index)));
        let why = format!(
            "network {} has {subnet}, and {} has the {what}: {}, or take the network down and up again with another --subnet",
            network.name,
            name(index),
            subject.command(line)
        );
        Finding::new(Verdict::Fail, why)
    };
    found.into_iter().map(finding).collect()
}

fn ports(subject: &Subject<'_>) -> Result<Vec<Finding>> {
    let Some(state) = &subject.state else { return Ok(Vec::new()) };
    let shadowed = |view: fwd_render::PublishedView| {
        let who = shown(view.shadows.as_ref()?.exact());
        let target = match (&view.ns, view.pid) {
            (Some(ns), _) => format!("--ns {}", word(&shown(ns.exact()))),
            (None, pid) => format!("--pid {}", pid.unwrap_or_default()),
        };
        let what = format!(
            "{who} listens on the host at {}, which leads to a namespace: stop it, or `fwd port rm {target} {}`",
            view.published, view.published
        );
        Some(Finding::new(Verdict::Warn, what))
    };
    Ok(state.published_ports()?.into_iter().filter_map(shadowed).collect())
}
