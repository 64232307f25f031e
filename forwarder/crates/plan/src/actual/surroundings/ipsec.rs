//! Policies of IPsec, past which programs send what they forward of either family.

use ipnet::IpNet;

use super::{Concerned, Surroundings};
use fwd_base::{Error, Kind, Result};
use fwd_kernel::netlink::{Direction, XfrmPolicy};

impl Surroundings {
    /// The first policy that the programs would pass by.
    pub(super) fn passed_by(&self, network: &Concerned<'_>) -> Option<&XfrmPolicy> {
        if !network.datapath.is_ebpf() || network.ignore_xfrm {
            return None;
        }
        let subnets = [network.subnet.map(IpNet::from), network.subnet6.map(IpNet::from)];
        self.policies.iter().find(|policy| {
            let by_uplink = [0, network.uplink.index].contains(&policy.ifindex) || network.follows_routes;
            by_uplink && subnets.iter().flatten().any(|subnet| concerns(policy, subnet, network))
        })
    }

    /// Refuses programs where a policy of IPsec would not hold for what they send.
    ///
    /// # Errors
    /// [`Kind::Unsupported`] that names the policy.
    pub(crate) fn check(&self, network: &Concerned<'_>) -> Result<()> {
        let Some(policy) = self.passed_by(network) else { return Ok(()) };
        let object = format!("datapath {}", network.datapath.name());
        let why = format!("its programs would send packets past a policy of IPsec that this host has: {policy}");
        Err(Error::new(Kind::Unsupported, "use", object, why)
            .remedy("use --datapath kernel, which keeps to it, or --ignore-xfrm if it is not meant for namespaces"))
    }
}

/// Whether the policy is about packets of this subnet of the network.
fn concerns(policy: &XfrmPolicy, subnet: &IpNet, network: &Concerned<'_>) -> bool {
    // The kernel asks with the address of a namespace, and again with what it was translated to: an address of the same family. Of
    // another family than the net, no address and no subnet is contained.
    let translated = network.addresses.iter().filter(|address| address.is_ipv4() == subnet.addr().is_ipv4());
    let is_ours = |net: &IpNet| {
        net.contains(subnet) || subnet.contains(net) || translated.clone().any(|address| net.contains(address))
    };
    match policy.direction {
        Direction::Out => is_ours(&policy.source),
        Direction::Forward => is_ours(&policy.source) || is_ours(&policy.destination),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::network, *};
    use crate::Datapath;

    /// A network that has both families, or IPv6 alone; it appears behind 2001:db8::2 where it is masqueraded.
    fn six(alone: bool, masqueraded: bool) -> Concerned<'static> {
        let other = network(Datapath::Tc);
        let behind = masqueraded.then(|| "2001:db8::2".parse().expect("an address"));
        Concerned {
            subnet: other.subnet.filter(|_| !alone),
            subnet6: Some("fd00:77::/64".parse().expect("a network")),
            addresses: other.addresses.iter().copied().chain(behind).collect(),
            ..other
        }
    }

    fn policy(direction: Direction, source: &str, destination: &str) -> XfrmPolicy {
        let net = |text: &str| text.parse().expect("a network");
        let (source, destination) = (net(source), net(destination));
        XfrmPolicy { direction, source, destination, ifindex: 0, block: false, default: false }
    }

    #[track_caller]
    fn is_passed_by(network: &Concerned<'_>, policy: XfrmPolicy) -> bool {
        let all = Surroundings { policies: vec![policy], ..Surroundings::default() };
        let over = |datapath| Concerned { datapath, ..network.clone() };
        assert!(all.check(&over(Datapath::Kernel)).is_ok());
        assert!(all.check(&Concerned { ignore_xfrm: true, ..over(Datapath::Tc) }).is_ok());
        assert_eq!(all.check(&over(Datapath::Xdp)).is_err(), all.check(&over(Datapath::Tc)).is_err());
        assert_eq!(all.warnings(&over(Datapath::Tc), None).len(), usize::from(all.check(network).is_err()));
        all.check(network).is_err()
    }

    #[track_caller]
    fn passed_by(policy: XfrmPolicy) -> bool {
        is_passed_by(&network(Datapath::Tc), policy)
    }

    #[test]
    fn policies_count_where_the_kernel_would_apply_them() {
        use Direction::{Forward, Out};
        assert!(passed_by(policy(Out, "0.0.0.0/0", "10.9.0.0/16")));
        assert!(passed_by(policy(Out, "198.51.100.2/32", "203.0.113.1/32")), "the address behind which they appear");
        assert!(
            passed_by(policy(Out, "10.77.0.0/16", "10.9.0.0/16"))
                && passed_by(policy(Out, "10.77.0.4/32", "0.0.0.0/0"))
        );
        assert!(passed_by(policy(Forward, "10.9.0.0/16", "10.77.0.0/24")));
        assert!(
            !passed_by(policy(Out, "192.168.1.0/24", "10.9.0.0/16")),
            "of another network that the host routes for"
        );
        assert!(!passed_by(policy(Forward, "192.168.1.0/24", "10.9.0.0/16")));
        assert!(!passed_by(XfrmPolicy { ifindex: 3, ..policy(Out, "0.0.0.0/0", "0.0.0.0/0") }));
        assert!(passed_by(XfrmPolicy { ifindex: 2, ..policy(Out, "0.0.0.0/0", "0.0.0.0/0") }));
        let other = XfrmPolicy { ifindex: 3, ..policy(Out, "0.0.0.0/0", "0.0.0.0/0") };
        let all = Surroundings { policies: vec![other], ..Surroundings::default() };
        let follows = Concerned { follows_routes: true, ..network(Datapath::Tc) };
        assert!(all.check(&follows).is_err(), "it may leave by that interface too");
    }

    #[test]
    fn policies_about_ipv6_count_for_networks_that_have_it() {
        use Direction::{Forward, Out};
        for (alone, masqueraded) in [(false, false), (false, true), (true, false), (true, true)] {
            let network = six(alone, masqueraded);
            for source in ["::/0", "fd00:77::/48", "fd00:77::4/128"] {
                assert!(is_passed_by(&network, policy(Out, source, "2001:db8:9::/48")), "{source}");
            }
            assert!(is_passed_by(&network, policy(Forward, "2001:db8:9::/48", "fd00:77::/64")));
            let of_uplink = policy(Out, "2001:db8::2/128", "2001:db8:9::/48");
            assert_eq!(is_passed_by(&network, of_uplink), masqueraded, "the address behind which they appear");
            assert!(!is_passed_by(&network, policy(Out, "fd00:78::/64", "2001:db8:9::/48")));
            let everything = policy(Out, "::/0", "::/0");
            assert!(!is_passed_by(&network, XfrmPolicy { ifindex: 3, ..everything.clone() }));
            assert!(is_passed_by(&network, XfrmPolicy { ifindex: 2, ..everything }));
        }
    }

    #[test]
    fn policies_about_a_family_that_a_network_has_not_do_not_count() {
        use Direction::{Forward, Out};
        assert!(!passed_by(policy(Out, "::/0", "::/0")) && !passed_by(policy(Forward, "::/0", "::/0")));
        let alone = six(true, true);
        for source in ["0.0.0.0/0", "198.51.100.2/32"] {
            assert!(!is_passed_by(&alone, policy(Out, source, "0.0.0.0/0")), "{source}");
        }
        // The uplink has addresses that nothing of the network appears behind.
        let four = Concerned { subnet6: None, ..six(false, true) };
        assert!(!is_passed_by(&four, policy(Out, "2001:db8::2/128", "::/0")));
    }
}
