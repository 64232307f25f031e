//! What other parts of the host do to the packets of a network: policies of IPsec, chains of netfilter, forwarding switched off.

mod ipsec;

use std::net::IpAddr;

use ipnet::{Ipv4Net, Ipv6Net};

use super::let_through::{Forwarded, let_through};
use crate::{Datapath, Nat, NetworkRecord};
use fwd_kernel::netlink::{ForwardChain, Interface, MarkRule, Packets, XfrmPolicy};

/// What was read of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// Policies of IPsec that ask for something.
    pub policies: Vec<XfrmPolicy>,
    /// Rules of routing that go by marks.
    pub marks: Vec<MarkRule>,
    /// Chains of the forward hook.
    pub chains: Vec<ForwardChain>,
    /// Chains of the input hook; looked at where ports are to be published.
    pub input: Vec<ForwardChain>,
    /// Tables that give packets another destination as they come in, as `nft` names them.
    pub redirecting: Vec<String>,
    /// What a bridge passes from one port to another goes through those chains as well (br_netfilter).
    pub bridged: bool,
    /// The same of IPv6.
    pub bridged6: bool,
}

/// The network that it is about.
#[derive(Clone, Debug)]
pub struct Concerned<'a> {
    /// Name of the network.
    pub name: &'a str,
    /// Its bridge; of one that is still to be made the number is 0.
    pub bridge: Interface<'a>,
    /// Its addresses of IPv4, if it has some.
    pub subnet: Option<Ipv4Net>,
    /// Its addresses of IPv6, if it has some.
    pub subnet6: Option<Ipv6Net>,
    /// The uplink.
    pub uplink: Interface<'a>,
    /// It leaves by other uplinks as well, where the host's routes lead by them.
    pub follows_routes: bool,
    /// The addresses behind which its packets may appear.
    pub addresses: Vec<IpAddr>,
    /// What forwards its packets.
    pub datapath: Datapath,
    /// Policies of IPsec do not count.
    pub ignore_xfrm: bool,
    /// Programs lead everybody's packets to what its endpoints have opened outside (`--nat eim-eif`).
    pub open: bool,
    /// Ports of the host lead to it.
    pub published: bool,
    /// Rules of its endpoints have what its bridge passes from port to port go through the chains of the host, too.
    pub ruled: bool,
}

impl NetworkRecord {
    /// The network, with its uplink's name, and the addresses behind which its packets may appear.
    #[must_use]
    pub fn concerned<'a>(&'a self, uplink: Interface<'a>, addresses: Vec<IpAddr>) -> Concerned<'a> {
        Concerned {
            name: &self.name,
            bridge: Interface { name: &self.bridge, index: self.index },
            subnet: self.subnet(),
            subnet6: self.subnet6(),
            uplink,
            follows_routes: self.follows_routes(),
            addresses,
            datapath: self.datapath,
            ignore_xfrm: self.treatment.ignore_xfrm,
            open: self.treatment.nat == Nat::EimEif,
            published: false,
            ruled: false,
        }
    }
}

impl Surroundings {
    /// What keeps packets of a network from getting through, or lets through what should not, each with the remedy. `host` is the
    /// name (or path) of the namespace that plays the host, where it is not the caller's.
    #[must_use]
    pub fn warnings(&self, network: &Concerned<'_>, host: Option<&str>) -> Vec<String> {
        let mut warnings = Vec::new();
        if let Some(policy) = self.passed_by(network) {
            warnings.push(format!(
                "this host has a policy of IPsec, which packets of network {} are sent past ({policy}): take the network down, \
                 then up again with --datapath kernel, which keeps to it, or with --ignore-xfrm",
                network.name
            ));
        }
        let is_followed =
            |rule: &&MarkRule| if rule.ipv6 { network.subnet6.is_some() } else { network.subnet.is_some() };
        if let Some(rule) = self.marks.iter().find(is_followed).filter(|_| network.datapath.is_ebpf()) {
            warnings.push(format!(
                "this host routes packets by a mark ({rule}), which those of network {} do not have when they are forwarded: where \
                 they should follow it, take the network down, then up again with --datapath kernel",
                network.name
            ));
        }
        if let Some(table) = self.redirecting.first().filter(|_| network.open && network.datapath.is_ebpf()) {
            warnings.push(format!(
                "the nftables table {table} gives packets that come in another destination, and network {} is of --nat eim-eif: a port that both \
                 have is the namespace's: name others with --nat-ports A-B, or use --nat eim",
                network.name
            ));
        }
        for chain in &self.chains {
            let of_ipv4 = chain.family != "ip6" && network.subnet.is_some();
            // What a chain of both families does has been told then.
            let of_ipv6 = chain.family != "ip" && network.subnet6.is_some() && !of_ipv4;
            let families = [(of_ipv4, false), (of_ipv6, true)].into_iter().filter(|(is_meant, _)| *is_meant);
            warnings.extend(families.filter_map(|(_, ipv6)| self.closed(chain, network, ipv6, host)));
        }
        warnings
    }

    /// What to say of ports that are published at `uplink`, beside a chain that keeps others from coming in by it.
    #[must_use]
    pub fn passed_by_ports(&self, uplink: Interface<'_>) -> Option<String> {
        let nowhere = Interface { name: "", index: 0 };
        let chain = self.input.iter().find(|chain| chain.drops_between(uplink, nowhere, Packets::All))?;
        Some(format!(
            "published ports are reached past {chain}, which keeps out what else comes in by {}: whom they are not for has to be kept out inside \
             the namespace",
            uplink.name
        ))
    }

    /// What a chain keeps from getting through of a family.
    fn closed(&self, chain: &ForwardChain, network: &Concerned<'_>, ipv6: bool, host: Option<&str>) -> Option<String> {
        let Concerned { bridge, uplink, .. } = *network;
        let bridged = if ipv6 { self.bridged6 } else { self.bridged };
        let out = chain.drops_between(bridge, uplink, Packets::All);
        let back = chain.drops_between(uplink, bridge, Packets::Replies);
        let between = (bridged || network.ruled) && chain.drops_between(bridge, bridge, Packets::All);
        let kernel = !network.datapath.is_ebpf();
        let ports = kernel && network.published && chain.drops_between(uplink, bridge, Packets::ToPorts);
        let mut lost = Vec::new();
        match (kernel, out, back) {
            (true, true, _) => lost.push("nothing gets outside"),
            (true, false, true) => lost.push("no answer from outside gets in"),
            (false, true, _) | (false, _, true) => {
                lost.push(
                    "packets that the programs leave to the kernel are lost, such as those that have to be fragmented",
                );
            }
            (_, false, false) => {}
        }
        if ports {
            lost.push("its published ports are not reached from outside");
        }
        let because = match (bridged, ipv6) {
            (true, false) => "net.bridge.bridge-nf-call-iptables is 1",
            (true, true) => "net.bridge.bridge-nf-call-ip6tables is 1",
            (false, _) => "rules of an endpoint have them pass the chains of the host",
        };
        if between {
            lost.push(if kernel {
                "nor do its namespaces reach each other"
            } else {
                "nor does multicast from one of its namespaces reach another"
            });
        }
        if lost.is_empty() {
            return None;
        }
        let outbound = (out || between).then_some(Forwarded::Outbound);
        let inbound = (back || ports).then_some(if kernel { Forwarded::Invited } else { Forwarded::Inbound });
        let packets: Vec<_> = outbound.into_iter().chain(inbound).collect();
        Some(format!(
            "{chain} drops what the kernel forwards {}for network {}: {}{}; let it through: {}",
            if ipv6 { "of IPv6 " } else { "" },
            network.name,
            lost.join(", "),
            if between { format!(" ({because})") } else { String::new() },
            let_through(chain, bridge.name, &packets, host)
        ))
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, net::Ipv4Addr};

    use fwd_kernel::netlink::Maker;

    use super::*;

    pub(super) fn network(datapath: Datapath) -> Concerned<'static> {
        Concerned {
            name: "fwd0",
            bridge: Interface { name: "fwd0", index: 7 },
            subnet: Some(Ipv4Net::new_assert(Ipv4Addr::new(10, 77, 0, 0), 24)),
            subnet6: None,
            uplink: Interface { name: "eth0", index: 2 },
            follows_routes: false,
            addresses: vec![Ipv4Addr::new(198, 51, 100, 2).into()],
            datapath,
            ignore_xfrm: false,
            open: false,
            published: false,
            ruled: false,
        }
    }

    fn with_ipv6(datapath: Datapath) -> Concerned<'static> {
        Concerned { subnet6: Some("fd12:3456:789a::/64".parse().expect("a network")), ..network(datapath) }
    }

    fn chain(maker: Maker, family: &str, table: &str, name: &str) -> ForwardChain {
        let (family, table, name) = (family.into(), table.into(), name.into());
        ForwardChain { maker, family, table, name, drops: true, rules: Some(Vec::new()), others: BTreeMap::new() }
    }

    #[track_caller]
    fn told(chain: ForwardChain, bridged: bool, datapath: Datapath, words: &[&str]) {
        let all = Surroundings { chains: vec![chain], bridged, ..Surroundings::default() };
        let [warning] = &all.warnings(&network(datapath), None)[..] else { panic!("one warning") };
        for word in words {
            assert!(warning.contains(word), "{word:?} is missing: {warning}");
        }
    }

    #[test]
    fn chains_of_ipv6_concern_networks_that_have_it() {
        let all = Surroundings {
            chains: vec![chain(Maker::Nftables, "ip6", "filter", "FORWARD")],
            ..Surroundings::default()
        };
        assert!(all.warnings(&network(Datapath::Kernel), None).is_empty(), "it has no IPv6");
        for datapath in Datapath::ALL {
            let [warning] = &all.warnings(&with_ipv6(datapath), None)[..] else { panic!("one") };
            let lost = if datapath.is_ebpf() {
                "packets that the programs leave to the kernel"
            } else {
                "nothing gets outside"
            };
            let begins =
                format!("FORWARD of ip6tables drops what the kernel forwards of IPv6 for network fwd0: {lost}");
            assert!(warning.contains(&begins), "{warning}");
            assert!(warning.contains("`ip6tables -I FORWARD -i fwd0 -j ACCEPT` and `ip6tables -I FORWARD -o fwd0 "));
        }
        let bridged = Surroundings { bridged6: true, ..all };
        let [warning] = &bridged.warnings(&with_ipv6(Datapath::Kernel), None)[..] else { panic!("one") };
        assert!(warning.contains("nor do its namespaces reach each other (net.bridge.bridge-nf-call-ip6tables is 1)"));
        // A chain of both families is told once.
        let chains = vec![chain(Maker::Nftables, "inet", "filter", "forward")];
        let both = Surroundings { chains, ..Surroundings::default() };
        assert_eq!(both.warnings(&with_ipv6(Datapath::Kernel), None).len(), 1);
        assert_eq!(both.warnings(&Concerned { subnet: None, ..with_ipv6(Datapath::Kernel) }, None).len(), 1);
    }

    #[test]
    fn ports_of_others_concern_networks_that_anybody_may_write_to() {
        let all = Surroundings { redirecting: vec!["ip nat".into()], ..Surroundings::default() };
        assert!(all.warnings(&network(Datapath::Tc), None).is_empty());
        let open = |datapath| Concerned { open: true, ..network(datapath) };
        let [warning] = &all.warnings(&open(Datapath::Tc), None)[..] else { panic!("one") };
        assert!(warning.contains("table ip nat gives") && warning.contains("--nat-ports"), "{warning}");
        assert!(all.warnings(&open(Datapath::Kernel), None).is_empty(), "the kernel knows both");
    }

    #[test]
    fn rules_by_marks_concern_networks_of_their_family() {
        let rule = |ipv6| MarkRule { ipv6, priority: 100, mark: 1, mask: 0xff };
        let told = |rules: &[MarkRule], network: &Concerned<'_>| {
            Surroundings { marks: rules.to_vec(), ..Surroundings::default() }.warnings(network, None)
        };
        assert!(told(&[rule(false)], &network(Datapath::Tc))[0].contains("(ip rule 100: fwmark 0x1/0xff)"));
        assert!(told(&[rule(true)], &network(Datapath::Tc)).is_empty());
        assert!(told(&[rule(true)], &with_ipv6(Datapath::Tc))[0].contains("(ip -6 rule 100: fwmark 0x1/0xff)"));
        assert!(told(&[rule(false)], &Concerned { subnet: None, ..with_ipv6(Datapath::Tc) }).is_empty());
        assert!(told(&[rule(true)], &with_ipv6(Datapath::Kernel)).is_empty(), "the kernel follows it");
    }

    #[test]
    fn closed_chains_come_with_the_commands_that_open_them() {
        let iptables = || chain(Maker::Nftables, "ip", "filter", "FORWARD");
        told(
            iptables(),
            false,
            Datapath::Tc,
            &[
                "the chain FORWARD of iptables drops",
                "fragmented",
                "`iptables -I FORWARD -i fwd0 -j ACCEPT` and `iptables -I FORWARD -o fwd0 -j ACCEPT`",
            ],
        );
        told(
            iptables(),
            true,
            Datapath::Kernel,
            &[
                "nothing gets outside, nor do its namespaces reach each other (net.bridge",
                "`iptables -I FORWARD -o fwd0 -m conntrack --ctstate ESTABLISHED,RELATED,DNAT -j ACCEPT`",
            ],
        );
        told(
            chain(Maker::Legacy, "ip", "filter", "FORWARD"),
            false,
            Datapath::Tc,
            &["iptables-legacy drops", "`iptables-legacy -I FORWARD -i fwd0 -j ACCEPT`"],
        );
        told(
            chain(Maker::Nftables, "inet", "lan", "filter FORWARD"),
            false,
            Datapath::Kernel,
            &[
                "the nftables chain inet lan filter FORWARD",
                r#"`nft insert rule inet lan 'filter FORWARD' iifname '"fwd0"' accept`"#,
                r#"oifname '"fwd0"' ct state established,related accept` and `nft insert"#,
                r#"oifname '"fwd0"' ct status dnat accept`"#,
            ],
        );
        told(
            chain(Maker::Nftables, "inet", "firewalld", "filter_FORWARD"),
            false,
            Datapath::Tc,
            &["`firewall-cmd --zone=trusted --change-interface=fwd0` and `firewall-cmd --permanent --zone=trusted"],
        );
        let open = ForwardChain { drops: false, ..iptables() };
        let all = Surroundings { chains: vec![open], bridged: true, ..Surroundings::default() };
        assert!(all.warnings(&network(Datapath::Kernel), None).is_empty());
        let all = Surroundings { chains: vec![iptables()], ..Surroundings::default() };
        assert!(
            all.warnings(&network(Datapath::Tc), Some("box"))[0].contains("`nsenter --net=/run/netns/box iptables -I")
        );
    }
}
