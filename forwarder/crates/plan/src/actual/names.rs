//! Names, aliases and hardware addresses: each follows from what it stands for, so that a second run finds it again.

use std::net::IpAddr;

use fwd_base::hash::fnv;
use fwd_dataplane::EndpointId;
use fwd_kernel::netlink::{ALIAS_MAX, Link, Mac};

/// The network that is meant when none is named.
pub const DEFAULT_NETWORK: &str = "fwd0";
/// Name of the interface inside a namespace.
pub const NS_IF: &str = "eth0";

/// Longest interface name, bytes (`IFNAMSIZ` − 1).
const IFNAME_MAX: usize = 15;

/// Tells what belongs to one run directory from what belongs to another of the same host: a number that is never 0.
///
/// It stands in the aliases of interfaces. Until an interface has its alias, the number is that of its group: so that one which an
/// interrupted command left is known too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owner(pub u32);

impl Owner {
    fn prefix(self, kind: &str) -> String {
        format!("fwd1:{:08x}:{kind}:", self.0)
    }

    /// Alias of a network's bridge.
    #[must_use]
    pub(crate) fn network_alias(self, network: &str) -> String {
        cut(self.prefix(NETWORK) + network)
    }

    /// Alias of the host-side veth of an endpoint; `ns` is what the namespace is called.
    #[must_use]
    pub fn endpoint_alias(self, network: &str, ns: &str) -> String {
        cut(format!("{}{network}:{ns}", self.prefix(ENDPOINT_OF)))
    }

    /// What a network is called in nftables.
    #[must_use]
    pub fn rule(self, network: &str) -> String {
        format!("{}{network}", self.rule_prefix())
    }

    /// The network that is called so in nftables, if it is one of ours.
    #[must_use]
    pub fn network_of(self, rule: &str) -> Option<&str> {
        rule.strip_prefix(self.rule_prefix().as_str())
    }

    fn rule_prefix(self) -> String {
        format!("{:08x}:", self.0)
    }

    /// Whether a link is a bridge that was made for this run directory.
    #[must_use]
    pub fn has_bridge(self, link: &Link) -> bool {
        link.kind.as_deref() == Some("bridge") && self.has(link, NETWORK)
    }

    /// Whether a link is the host-side veth of a pair that was made for this run directory.
    #[must_use]
    pub fn has_veth(self, link: &Link) -> bool {
        link.is_of_pair() && self.has(link, ENDPOINT_OF)
    }

    /// Whether a link is the host-side veth of the endpoint that a runtime calls so, by its alias alone: also where no record can be read.
    #[must_use]
    pub fn has_endpoint(self, link: &Link, id: &EndpointId) -> bool {
        let rest = link.alias.as_deref().and_then(|alias| alias.strip_prefix(self.prefix(ENDPOINT_OF).as_str()));
        self.has_veth(link) && rest.is_some_and(|rest| rest.ends_with(&format!(":{id}")))
    }

    /// Whether an alias begins with [`prefix`](Self::prefix), which is not written down for each of thousands of interfaces.
    fn begins(self, alias: &str, kind: &str) -> bool {
        let rest = alias.strip_prefix("fwd1:").and_then(|rest| rest.split_once(':'));
        let Some((owner, rest)) = rest else { return false };
        let written = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let is_own = owner.len() == 8 && owner.bytes().all(written) && u32::from_str_radix(owner, 16) == Ok(self.0);
        is_own && rest.strip_prefix(kind).is_some_and(|rest| rest.starts_with(':'))
    }

    fn has(self, link: &Link, kind: &str) -> bool {
        match link.alias.as_deref() {
            Some(alias) if !alias.is_empty() => self.begins(alias, kind),
            _ => link.group == self.0 && self.0 != 0,
        }
    }
}

/// Whether a link is a bridge or a host-side veth of some run directory.
#[must_use]
pub fn is_made(link: &Link) -> bool {
    let of = |kind: &str| {
        let rest = link.alias.as_deref().and_then(|alias| alias.strip_prefix("fwd1:"));
        rest.and_then(|rest| rest.split(':').nth(1)) == Some(kind)
    };
    match link.kind.as_deref() {
        Some("bridge") => of(NETWORK),
        _ if link.is_of_pair() => of(ENDPOINT_OF),
        _ => false,
    }
}

const NETWORK: &str = "net";
const ENDPOINT_OF: &str = "ep";

const GATEWAY: [u8; 2] = [0x02, 0x66];
const VIRTUAL_GATEWAY: [u8; 2] = [0x02, 0x67];
const ENDPOINT: [u8; 2] = [0x02, 0x77];
const HOST_VETH: [u8; 2] = [0x02, 0x68];

/// Hardware address of the gateway with this address: the bridge's.
#[must_use]
pub(crate) fn gateway_mac(gateway: impl Into<IpAddr>) -> Mac {
    mac(GATEWAY, gateway.into())
}

/// Hardware address that a namespace sees the gateway have where programs forward. Nobody has it: what the programs leave to the
/// kernel they address to the bridge, and without them the bridge takes nothing that is to be routed.
#[must_use]
pub(crate) fn virtual_gateway_mac(gateway: impl Into<IpAddr>) -> Mac {
    mac(VIRTUAL_GATEWAY, gateway.into())
}

/// Hardware address inside the namespace, unless another is asked for.
#[must_use]
pub fn endpoint_mac(address: impl Into<IpAddr>) -> Mac {
    mac(ENDPOINT, address.into())
}

/// Hardware address of the host-side veth.
#[must_use]
pub(crate) fn host_mac(address: impl Into<IpAddr>) -> Mac {
    mac(HOST_VETH, address.into())
}

/// Locally administered: bit 1 of the first byte is set, bit 0 (multicast) is not. Of IPv6 the last 32 bits tell endpoints of a network apart,
/// and a hash of those before tells networks apart.
fn mac([first, second]: [u8; 2], address: IpAddr) -> Mac {
    let [a, b, c, d] = match address {
        IpAddr::V4(address) => address.octets(),
        IpAddr::V6(address) => {
            let [.., e, f, g, h] = address.octets();
            let network = fnv(address.octets().into_iter().take(12));
            (network as u32 ^ u32::from_be_bytes([e, f, g, h])).to_be_bytes()
        }
    };
    [first, second, a, b, c, d]
}

const HOST_IF: &str = "fwdv";

/// Name of the host-side veth: `fwdv` and nine hexadecimal digits of a hash. An address occurs once in a network, and a network once in a run
/// directory.
#[must_use]
pub(crate) fn host_if(owner: Owner, network: &str, address: impl Into<IpAddr>) -> String {
    let address = match address.into() {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let hash = fnv(network.bytes().chain([0]).chain(address).chain(owner.0.to_le_bytes()));
    format!("{HOST_IF}{:09x}", hash >> 28)
}

/// Name of a network's bridge: the network's own where an interface may have it and none of somebody else's has.
#[must_use]
pub(crate) fn bridge(network: &str, is_foreign: impl FnOnce(&str) -> bool) -> String {
    // The default network always has the bridge of its name: a foreign `fwd0` is refused rather than worked around.
    if network == DEFAULT_NETWORK || (is_ifname(network) && !is_foreign(network)) {
        return network.into();
    }
    format!("fwd-{:010x}", fnv(network.bytes()) >> 24)
}

/// Why no network may be called so, as its bridge would be.
#[must_use]
pub(crate) fn reserved(network: &str) -> Option<&'static str> {
    match network {
        "all" | "default" => Some("the kernel keeps the settings of all interfaces under it (net.ipv4.conf.all)"),
        "lo" => Some("it is the loopback interface of every namespace"),
        "any" => Some("it means all interfaces to tcpdump"),
        "dev" | "name" | "link" | "type" | "group" | "master" | "vrf" | "up" | "down" | "none" | "help" => {
            Some("it is a word of `ip link`, which would not take it for the name of a bridge")
        }
        _ => None,
    }
}

/// What the kernel takes as the name of an interface (`dev_valid_name`), without what `ip` would read as something else.
#[must_use]
pub(crate) fn is_ifname(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '/' | ':' | '%');
    (1..=IFNAME_MAX).contains(&text.len()) && !text.starts_with(['.', '-']) && text.chars().all(plain)
}

/// Cuts an alias to what the kernel keeps, between characters.
fn cut(mut alias: String) -> String {
    let mut end = alias.len().min(ALIAS_MAX);
    while !alias.is_char_boundary(end) {
        end -= 1;
    }
    alias.truncate(end);
    alias
}

#[cfg(test)]
mod tests {
    use fwd_dataplane::EndpointOwner;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn network_gives_its_name_to_the_bridge_where_it_can() {
        assert_eq!(bridge("web", |_| false), "web");
        assert_eq!(bridge("fwd0", |_| true), "fwd0");
        for network in ["a-rather-long-network-name", "a b", "..", "a/b", "-x", "ä", "50%d"] {
            let name = bridge(network, |_| false);
            assert!(name.starts_with("fwd-") && is_ifname(&name), "{network}: {name}");
        }
        assert!(bridge("eth0", |_| true).starts_with("fwd-"));
    }

    #[test]
    fn interfaces_are_told_by_their_aliases() {
        let veth = |alias: &str| Link { kind: Some("veth".into()), alias: Some(alias.into()), ..Link::default() };
        let owner = Owner(0xab);
        assert!(owner.has_veth(&veth(&owner.endpoint_alias("fwd0", "a"))));
        assert!(!owner.has_bridge(&veth(&owner.network_alias("fwd0"))), "its kind is another");
        let owned = ["fwd1:000000ab:ep:", "fwd1:000000ab:ep:fwd0:a:b"];
        assert!(owned.iter().all(|alias| owner.has_veth(&veth(alias))));
        for alias in [
            "fwd1:000000ac:ep:fwd0:a",
            "fwd1:000000AB:ep:fwd0:a",
            "fwd1:+00000ab:ep:fwd0:a",
            "fwd1:ab:ep:fwd0:a",
            "fwd1:000000ab:net:fwd0",
            "fwd1:000000ab:ep",
            "fwd1:000000ab:epx:fwd0",
            "fwd2:000000ab:ep:fwd0:a",
            "fwd1:",
        ] {
            assert!(!owner.has_veth(&veth(alias)), "{alias}");
        }
    }

    #[test]
    fn words_of_the_kernel_and_of_tools_are_reserved() {
        for name in ["all", "default", "lo", "any", "type", "dev"] {
            assert!(reserved(name).is_some(), "{name}");
        }
        for name in ["fwd0", "web", "all0", "Default", "device"] {
            assert_eq!(reserved(name), None, "{name}");
        }
    }

    #[test]
    fn names_do_not_change_between_builds() {
        let host_if = |owner| host_if(Owner(owner), "fwd0", [10_u8, 77, 0, 2]);
        assert_eq!(host_if(1), "fwdv95b844f64");
        assert_ne!(host_if(1), host_if(2));
        assert_eq!(bridge("a-rather-long-network-name", |_| false), "fwd-c4a1e28f02");
    }

    #[test]
    fn addresses_of_ipv6_that_are_others_have_other_hardware_addresses() {
        let mac = |address: &str| endpoint_mac(address.parse::<IpAddr>().expect("an address"));
        let all = ["fd00:77::2", "fd00:77::3", "fd00:77::1:0:2", "fd00:78::2"].map(mac);
        let different: std::collections::BTreeSet<Mac> = all.into_iter().collect();
        assert_eq!(different.len(), all.len());
        assert!(all.iter().all(|mac| mac.starts_with(&ENDPOINT)));
    }

    #[test]
    fn links_are_known_by_their_aliases_and_half_made_ones_by_their_groups() {
        let (ours, others) = (Owner(7), Owner(8));
        let link = |kind: &str, alias: &str, group| Link {
            kind: Some(kind.into()),
            alias: Some(alias.into()).filter(|alias: &String| !alias.is_empty()),
            group,
            ..Link::default()
        };
        let bridge = link("bridge", &ours.network_alias("web"), 0);
        assert!(ours.has_bridge(&bridge) && is_made(&bridge) && !ours.has_veth(&bridge) && !others.has_bridge(&bridge));
        let veth = link("veth", &ours.endpoint_alias("web", "a"), 0);
        assert!(ours.has_veth(&veth) && is_made(&veth) && !ours.has_bridge(&veth) && !others.has_veth(&veth));
        assert!(ours.has_bridge(&link("bridge", "", 7)) && !others.has_bridge(&link("bridge", "", 7)));
        let id = EndpointId { owner: EndpointOwner::Cni, id: "0a".into(), ifname: "eth0".into() };
        let pod = link("veth", &ours.endpoint_alias("web", &id.to_string()), 0);
        let longer = EndpointId { id: "10a".into(), ..id.clone() };
        assert!(ours.has_endpoint(&pod, &id) && !others.has_endpoint(&pod, &id) && !ours.has_endpoint(&veth, &id));
        assert!(!ours.has_endpoint(&link("veth", &ours.endpoint_alias("web", &longer.to_string()), 0), &id));
        // Somebody who uses that group, and a name that only looks like one.
        for foreign in
            [link("bridge", "theirs", 7), link("dummy", "", 7), link("bridge", "", 0), link("veth", "fwd1:net:x", 7)]
        {
            assert!(
                !ours.has_bridge(&foreign) && !ours.has_veth(&foreign) && !Owner(0).has_bridge(&foreign),
                "{foreign:?}"
            );
        }
        assert_eq!(ours.network_of(&ours.rule("a:b")), Some("a:b"));
        assert_eq!(others.network_of(&ours.rule("a:b")), None);
    }

    proptest! {
        #[test]
        fn host_veth_has_a_valid_name(network in ".{1,80}", address: u32, owner: u32) {
            prop_assert!(is_ifname(&host_if(Owner(owner), &network, address.to_be_bytes())));
        }

        #[test]
        fn alias_fits(network in ".{1,255}", ns in ".{1,255}", owner: u32) {
            prop_assert!(Owner(owner).endpoint_alias(&network, &ns).len() <= ALIAS_MAX);
            prop_assert!(Owner(owner).network_alias(&network).len() <= ALIAS_MAX);
        }
    }
}
