//! What else the host does to packets of networks.

use super::{Check, Finding, Subject, Verdict, shown};
use crate::execute;
use fwd_base::{Result, text::word};
use fwd_kernel::{
    netlink::{Interface, forward_chains, input_chains, mark_rules, xfrm_policies},
    sysctl,
};
use fwd_plan::{NetworkRecord, Surroundings};

pub(super) const FORWARDING: Check = Check {
    name: "forwarding",
    looks_at: "forwarding of IPv4 at uplinks and bridges, and of IPv6",
    why: "the kernel forwards nothing without: fragments and what else programs leave to it, and everything with --datapath kernel",
    look: forwarding,
};

pub(super) const REVERSE_PATH: Check = Check {
    name: "rp-filter",
    looks_at: "net.ipv4.conf.*.rp_filter of uplinks, where there are several",
    why: "a strict one drops replies that come in by another uplink than the request left by",
    look: reverse_path,
};

pub(super) const SOURCES: Check = Check {
    name: "sources",
    looks_at: "addresses behind which namespaces appear (`--source`, `--source6`, `--announce`), and those of the host",
    why: "what a namespace begins behind one that the host has lost is dropped; what comes to one that is announced, and that it has got, is the host's",
    look: |subject| {
        let lost = execute::lost_sources(&subject.actual.records)?;
        Ok(lost.into_iter().map(|what| Finding::new(Verdict::Fail, what)).collect())
    },
};

pub(super) const FORWARD_CHAINS: Check = Check {
    name: "forward-chains",
    looks_at: "chains and policies of nftables and iptables at the forward hook",
    why: "docker, ufw and firewalld drop there what they do not know, and with it what the kernel forwards for networks",
    look: |subject| {
        let [bridged, bridged6] = execute::are_bridged()?;
        affected(subject, &Surroundings { chains: forward_chains()?, bridged, bridged6, ..Surroundings::default() })
    },
};

pub(super) const INPUT_CHAINS: Check = Check {
    name: "input-chains",
    looks_at: "chains and policies at the input hook, where ports are published",
    why: "published ports are reached past them, which whoever closed the host may not expect",
    look: input,
};

pub(super) const BRIDGE_NETFILTER: Check = Check {
    name: "bridge-netfilter",
    looks_at: "net.bridge.bridge-nf-call-iptables and bridge-nf-call-ip6tables",
    why: "with it, what goes from port to port of a bridge passes the chains of the forward hook, too",
    look: bridge_netfilter,
};

pub(super) const CONNTRACK: Check = Check {
    name: "conntrack",
    looks_at: "how full the kernel's table of connections is",
    why: "a full one drops new connections of the host, and of networks that the kernel forwards",
    look: conntrack,
};

pub(super) const IPSEC: Check = Check {
    name: "ipsec",
    looks_at: "policies of IPsec (`ip xfrm policy`)",
    why: "programs send past them, so that something could leave in the clear",
    look: |subject| affected(subject, &Surroundings { policies: xfrm_policies()?, ..Surroundings::default() }),
};

pub(super) const MARKS: Check = Check {
    name: "marks",
    looks_at: "rules that route by a mark (`ip rule`)",
    why: "packets that programs forward carry none, and take another way",
    look: |subject| affected(subject, &Surroundings { marks: mark_rules()?, ..Surroundings::default() }),
};

/// What a part of the surroundings does to networks.
fn affected(subject: &Subject<'_>, surroundings: &Surroundings) -> Result<Vec<Finding>> {
    let effects = execute::effects(&subject.actual.records, surroundings, subject.context.host.as_deref())?;
    Ok(effects.into_iter().map(|what| Finding::new(Verdict::Warn, what)).collect())
}

fn forwarding(subject: &Subject<'_>) -> Result<Vec<Finding>> {
    let lost = execute::not_forwarded(&subject.actual.records)?;
    let finding =
        |(network, what): (String, String)| Finding::new(Verdict::Fail, what).with(subject.up_again(&network));
    Ok(lost.into_iter().map(finding).collect())
}

/// For sysctl(8), which takes a dot of a name as a slash.
fn setting(interface: &str) -> String {
    word(&format!("net.ipv4.conf.{}.rp_filter=2", interface.replace('.', "/")))
}

fn reverse_path(subject: &Subject<'_>) -> Result<Vec<Finding>> {
    let records = &subject.actual.records;
    let several = records.uplinks.len() > 1 && records.networks.iter().any(NetworkRecord::follows_routes);
    let mut findings = Vec::new();
    for uplink in records.uplinks.iter().filter(|uplink| several && records.devices.contains(&uplink.index)) {
        let Some(link) = subject.actual.host.net.by_index(uplink.index) else { continue };
        if execute::is_strict(&link.name)? {
            let mend = ["all", &shown(&link.name)].map(setting).join(" ");
            let what = format!(
                "{} takes only what the host would send by it, so that replies by another way are dropped: {}",
                shown(&link.name),
                subject.command(format!("sysctl -w {mend}"))
            );
            findings.push(Finding::new(Verdict::Warn, what));
        }
    }
    Ok(findings)
}

fn input(subject: &Subject<'_>) -> Result<Vec<Finding>> {
    let records = &subject.actual.records;
    if records.publications.is_empty() {
        return Ok(Vec::new());
    }
    let surroundings = Surroundings { input: input_chains()?, ..Surroundings::default() };
    let links = records.uplinks.iter().filter_map(|uplink| subject.actual.host.net.by_index(uplink.index));
    let passed =
        links.filter_map(|link| surroundings.passed_by_ports(Interface { name: &link.name, index: link.index }));
    Ok(passed.map(|what| Finding::new(Verdict::Warn, what)).collect())
}

/// By itself it does no harm: what the chains drop is told by their check.
fn bridge_netfilter(subject: &Subject<'_>) -> Result<Vec<Finding>> {
    let records = &subject.actual.records;
    let ruled = records.networks.iter().filter(|network| records.filters(&network.name, None));
    let ruled: Vec<&str> = ruled.map(|network| network.name.as_str()).collect();
    let (bridged, joint) = match execute::are_bridged()? {
        [true, true] => ("on", "and"),
        [true, false] => ("on for IPv4", "and"),
        [false, true] => ("on for IPv6", "and"),
        [false, false] => ("off", "but"),
    };
    let what = match (bridged, &ruled[..]) {
        ("off", []) => bridged.to_owned(),
        ("on", _) | (_, []) => format!("{bridged}: see forward-chains"),
        (_, ruled) => {
            format!("{bridged}, {joint} for {}, by rules of endpoints: see forward-chains", ruled.join(", "))
        }
    };
    Ok(vec![Finding::new(Verdict::Ok, what)])
}

/// From this share on it is nearly full, percent.
const NEARLY: u64 = 90;

fn conntrack(subject: &Subject<'_>) -> Result<Vec<Finding>> {
    let number = |name: &str| -> Result<Option<u64>> {
        Ok(sysctl::read(&format!("net/netfilter/nf_conntrack_{name}"))?.and_then(|value| value.parse().ok()))
    };
    let (Some(count), Some(most)) = (number("count")?, number("max")?) else {
        return Ok(vec![Finding::new(Verdict::Ok, "this host tracks no connections")]);
    };
    let told = format!("{count} of {most} connections");
    if !is_nearly_full(count, most) {
        return Ok(vec![Finding::new(Verdict::Ok, told)]);
    }
    let room = subject.command(format!("sysctl -w net.netfilter.nf_conntrack_max={}", most.saturating_mul(4)));
    Ok(vec![Finding::new(Verdict::Warn, format!("{told}, and what is new will be dropped: {room}"))])
}

/// Whether there is little room left. A table whose most is 0 has no limit.
const fn is_nearly_full(count: u64, most: u64) -> bool {
    most > 0 && count.saturating_mul(100) >= most.saturating_mul(NEARLY)
}

#[cfg(test)]
mod tests {
    use super::is_nearly_full;

    #[test]
    fn table_is_nearly_full_from_nine_tenths_on() {
        assert!(!is_nearly_full(0, 262_144) && !is_nearly_full(899, 1000));
        assert!(is_nearly_full(900, 1000) && is_nearly_full(u64::MAX, 1));
        assert!(!is_nearly_full(5, 0), "there is no limit");
    }
}
