//! Whether records, interfaces, programs and addresses agree on a host on which something is up.

use super::{Check, Finding, Mend, Subject, Verdict, shown};
use crate::execute::{self, hosts};
use fwd_base::Result;
use fwd_dataplane::{Hook, Programs};
use fwd_kernel::netlink::{Netlink, nft};
use fwd_plan::{Bridging, EndpointRecord, NetworkRecord, reference};
use fwd_render::units::counted;

pub(super) const PROGRAMS: Check = Check {
    name: "programs",
    looks_at: "of which build of fwd the loaded programs are, and whether they trace",
    why: "those of another build may lack what this one relies on, and traced ones are slower",
    look: programs,
};

pub(super) const NETWORKS: Check = Check {
    name: "networks",
    looks_at: "bridges of networks, their addresses, the programs at bridges and uplinks, and rules of nftables",
    why: "without its bridge a network has no gateway, without programs or rules its packets leave untranslated or not at all",
    look: networks,
};

pub(super) const ENDPOINTS: Check = Check {
    name: "endpoints",
    looks_at: "host-side veths, their programs and rules of nftables, and interface and address inside of each namespace",
    why: "one that lacks any of them is cut off",
    look: endpoints,
};

pub(super) const HOSTS: Check = Check {
    name: "hosts",
    looks_at: "what is pinned for hosts (network namespaces) that are gone",
    why: "their programs and flow tables keep memory",
    look: gone_hosts,
};

fn programs(subject: &Subject<'_>) -> Result<Vec<Finding>> {
    let Some(state) = &subject.state else { return Ok(Vec::new()) };
    let finding = match state.plane.programs()? {
        None => return Ok(Vec::new()),
        Some(Programs { traced: Some(by), .. }) if by.alive => {
            let what = format!("a trace (pid {}) goes on: meanwhile the programs are traced ones, and slower", by.pid);
            Finding::new(Verdict::Ok, what)
        }
        Some(Programs { traced: Some(_), .. }) => {
            let what = "the programs are those of a trace that was killed, and slower: `fwd reload`";
            Finding::new(Verdict::Warn, what).with(Some(Mend::Reload))
        }
        Some(Programs { current: false, .. }) => {
            let what = "the programs are of another build of fwd: `fwd reload` replaces them, under traffic";
            Finding::new(Verdict::Warn, what).with(Some(Mend::Reload))
        }
        Some(Programs { tag, .. }) => Finding::new(Verdict::Ok, format!("of this build ({tag:016x})")),
    };
    Ok(vec![finding])
}

fn networks(subject: &Subject<'_>) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for network in &subject.actual.records.networks {
        let wrong = wrong_with_network(subject, network)?;
        let subnets: Vec<String> = network.subnets().map(|subnet| subnet.to_string()).collect();
        findings.push(match wrong.as_slice() {
            [] => Finding::new(Verdict::Ok, format!("{} ({})", network.name, subnets.join(", "))),
            wrong => disagrees(subject.up_again(&network.name), &format!("network {}", network.name), wrong),
        });
    }
    Ok(findings)
}

/// Something that does not agree with its records.
fn disagrees(mend: Option<Mend>, object: &str, wrong: &[String]) -> Finding {
    let command = mend.as_ref().map_or_else(|| "fwd down --all".into(), Mend::command);
    Finding::new(Verdict::Fail, format!("{object}: {}: `{command}`", wrong.join(", "))).with(mend)
}

fn wrong_with_network(subject: &Subject<'_>, network: &NetworkRecord) -> Result<Vec<String>> {
    let (records, net) = (&subject.actual.records, &subject.actual.host.net);
    let bridge = net.by_index(network.index).filter(|_| records.devices.contains(&network.index));
    let Some(bridge) = bridge else { return Ok(vec![format!("its bridge {} is gone", network.bridge)]) };
    let mut wrong = Vec::new();
    if !bridge.up {
        wrong.push(format!("its bridge {} is down", shown(&bridge.name)));
    }
    for gateway in network.gateways() {
        if !net.addresses.contains(&(network.index, gateway)) {
            wrong.push(format!("{} lacks the address {gateway}", shown(&bridge.name)));
        }
    }
    if !subject.actual.lost_rules(network).is_empty() {
        wrong.push(format!("its rules in nftables are gone (table {})", nft::TABLE));
    }
    let Some(state) = subject.state.as_ref().filter(|_| network.datapath.is_ebpf()) else { return Ok(wrong) };
    if !state.plane.is_attached(Hook::ToNetwork, network.index)? {
        wrong.push(format!("{} lacks its program", shown(&bridge.name)));
    }
    let is_there = records.devices.contains(&network.uplink);
    if is_there && !state.plane.is_uplink_attached(network.uplink)? {
        let name = net.by_index(network.uplink).map_or_else(|| "its uplink".into(), |link| shown(&link.name));
        wrong.push(format!("{name} lacks its programs"));
    }
    Ok(wrong)
}

fn endpoints(subject: &Subject<'_>) -> Result<Vec<Finding>> {
    let (mut findings, mut good) = (Vec::new(), 0);
    for endpoint in &subject.actual.records.endpoints {
        let wrong = wrong_with_endpoint(subject, endpoint)?;
        if wrong.is_empty() {
            good += 1;
            continue;
        }
        let name = endpoint.option().unwrap_or_else(|| format!("with the address {}", endpoint.main_address()));
        findings.push(match Mend::up(endpoint) {
            None if endpoint.id.owner.is_runtime() => {
                let owner = endpoint.id.owner.name();
                let what = format!(
                    "endpoint {name}: {}: have {owner}, whose it is, remove it and make it anew",
                    wrong.join(", ")
                );
                Finding::new(Verdict::Fail, what)
            }
            None => {
                let down = endpoint.option().unwrap_or_else(|| "--all".into());
                let what =
                    format!("endpoint {name}: {}: `fwd down {down}` removes what is left of it", wrong.join(", "));
                Finding::new(Verdict::Fail, what)
            }
            mend => disagrees(mend, &format!("endpoint {name}"), &wrong),
        });
    }
    if good > 0 {
        findings.push(Finding::new(Verdict::Ok, format!("{good} as recorded")));
    }
    Ok(findings)
}

fn wrong_with_endpoint(subject: &Subject<'_>, endpoint: &EndpointRecord) -> Result<Vec<String>> {
    let (records, net) = (&subject.actual.records, &subject.actual.host.net);
    let host_veth = net.by_index(endpoint.index).filter(|_| records.devices.contains(&endpoint.index));
    let Some(host_veth) = host_veth else {
        return Ok(vec![format!("its host-side veth {} is gone", endpoint.host_if)]);
    };
    let mut wrong = Vec::new();
    if !host_veth.up {
        wrong.push(format!("{} is down", shown(&host_veth.name)));
    }
    let network = records.networks.iter().find(|it| it.name == endpoint.network);
    let bridging = network.map_or(Bridging::Ports, |it| it.treatment.bridging);
    if let Some(why) = bridging.wrong_with(host_veth.controller, endpoint.network_index) {
        wrong.push(format!("{} {why}", shown(&host_veth.name)));
    }
    let by_program = network.is_some_and(|it| it.datapath.is_ebpf());
    if let Some(state) = subject.state.as_ref().filter(|_| by_program)
        && !state.plane.is_attached(Hook::FromNs, endpoint.index)?
    {
        wrong.push(format!("{} lacks its program", shown(&host_veth.name)));
    }
    if !subject.actual.lost_rules_of(endpoint).is_empty() {
        wrong.push(format!("its rules in nftables are gone (table {})", nft::TABLE));
    }
    wrong.extend(wrong_inside(endpoint, host_veth.peer)?);
    Ok(wrong)
}

/// What is missing in the namespace, whose interface has the number `inside`.
fn wrong_inside(endpoint: &EndpointRecord, inside: Option<u32>) -> Result<Vec<String>> {
    if endpoint.marks.awaited {
        return Ok(Vec::new());
    }
    let Ok(ns) = execute::open_target(&reference(endpoint)) else {
        return Ok(vec!["its namespace is not found".into()]);
    };
    if ns.cookie()? != endpoint.cookie {
        return Ok(vec!["its name is that of another namespace".into()]);
    }
    let netlink = Netlink::open(&ns)?;
    let Some(link) = inside.map(|index| netlink.link_by_index(index)).transpose()?.flatten() else {
        return Ok(vec![format!("{} is gone from the namespace", shown(&endpoint.id.ifname))]);
    };
    let mut wrong = Vec::new();
    if !link.up {
        wrong.push(format!("{} is down in the namespace", shown(&link.name)));
    }
    let has: Vec<_> = netlink.addresses(Some(link.index))?.into_iter().map(|(_, net)| net.addr()).collect();
    wrong.extend(
        endpoint
            .addresses()
            .filter(|it| !has.contains(it))
            .map(|it| format!("{} lacks the address {it}", shown(&link.name))),
    );
    Ok(wrong)
}

fn gone_hosts(subject: &Subject<'_>) -> Result<Vec<Finding>> {
    let gone = hosts(subject.context)?.into_iter().filter(|host| host.exists == Some(false)).count();
    Ok(match gone {
        0 => Vec::new(),
        gone => {
            let hosts = counted(u64::try_from(gone).unwrap_or(u64::MAX), "host");
            let what = format!("something is left of {hosts} whose namespace is gone: `fwd gc`");
            vec![Finding::new(Verdict::Warn, what).with(Some(Mend::Collect))]
        }
    })
}
