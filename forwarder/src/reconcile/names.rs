//! Names, aliases and hardware addresses: each follows from what it stands for, so that a second run finds it again.

use std::net::Ipv4Addr;

use crate::netlink::{ALIAS_MAX, Link, Mac};

/// The network that is meant when none is named.
pub const DEFAULT_NETWORK: &str = "fwd0";
/// Name of the interface inside a namespace.
pub const NS_IF: &str = "eth0";

const NETWORK_ALIAS: &str = "fwd1:net:";
const ENDPOINT_ALIAS: &str = "fwd1:ep:";
/// Longest interface name, bytes (`IFNAMSIZ` − 1).
const IFNAME_MAX: usize = 15;

/// Alias of a network's bridge.
#[must_use]
pub(super) fn network_alias(network: &str) -> String {
    cut(format!("{NETWORK_ALIAS}{network}"))
}

/// Alias of the host end of an endpoint; `ns` is what the namespace is called.
#[must_use]
pub(super) fn endpoint_alias(network: &str, ns: &str) -> String {
    cut(format!("{ENDPOINT_ALIAS}{network}:{ns}"))
}

/// Whether a link is a bridge that `fwd` made.
#[must_use]
pub fn is_our_bridge(link: &Link) -> bool {
    let kind = link.kind.as_deref() == Some("bridge");
    // Killed between creating the bridge and naming its owner: the hardware address tells.
    kind && alias_or(link, NETWORK_ALIAS, || link.mac.is_some_and(|mac| mac.starts_with(&GATEWAY)))
}

/// Whether a link is the host end of a veth pair that `fwd` made.
#[must_use]
pub fn is_our_veth(link: &Link) -> bool {
    let named = || link.name.starts_with(HOST_IF) && link.mac.is_some_and(|mac| mac.starts_with(&HOST_END));
    link.kind.as_deref() == Some("veth") && alias_or(link, ENDPOINT_ALIAS, named)
}

fn alias_or(link: &Link, prefix: &str, other: impl FnOnce() -> bool) -> bool {
    match link.alias.as_deref() {
        Some(alias) if !alias.is_empty() => alias.starts_with(prefix),
        _ => other(),
    }
}

const GATEWAY: [u8; 2] = [0x02, 0x66];
const ENDPOINT: [u8; 2] = [0x02, 0x77];
const HOST_END: [u8; 2] = [0x02, 0x68];

/// Hardware address of the gateway with this address: the bridge's.
#[must_use]
pub(super) fn gateway_mac(gateway: Ipv4Addr) -> Mac {
    mac(GATEWAY, gateway)
}

/// Hardware address inside the namespace.
#[must_use]
pub(super) fn endpoint_mac(address: Ipv4Addr) -> Mac {
    mac(ENDPOINT, address)
}

/// Hardware address of the host end.
#[must_use]
pub(super) fn host_mac(address: Ipv4Addr) -> Mac {
    mac(HOST_END, address)
}

/// Locally administered: bit 1 of the first byte is set, bit 0 (multicast) is not.
fn mac([first, second]: [u8; 2], address: Ipv4Addr) -> Mac {
    let [a, b, c, d] = address.octets();
    [first, second, a, b, c, d]
}

const HOST_IF: &str = "fwdv";

/// Name of the host end: `fwdv` and nine hexadecimal digits of a hash. An address occurs once in a network.
#[must_use]
pub(super) fn host_if(network: &str, address: Ipv4Addr) -> String {
    let hash = fnv(network.bytes().chain([0]).chain(address.octets()));
    format!("{HOST_IF}{:09x}", hash >> 28)
}

/// Name of a network's bridge: the network's own where an interface may have it and none of somebody else's has.
#[must_use]
pub(super) fn bridge(network: &str, is_foreign: impl FnOnce(&str) -> bool) -> String {
    // The default network always has the bridge of its name: a foreign `fwd0` is refused rather than worked around.
    if network == DEFAULT_NETWORK || (is_ifname(network) && !is_foreign(network)) {
        return network.into();
    }
    format!("fwd-{:010x}", fnv(network.bytes()) >> 24)
}

/// Why no network may be called so, as its bridge would be.
#[must_use]
pub(super) fn reserved(network: &str) -> Option<&'static str> {
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
fn is_ifname(text: &str) -> bool {
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

/// 64-bit FNV-1a: the same in every build, which std's hashers do not promise.
pub(super) fn fnv(bytes: impl IntoIterator<Item = u8>) -> u64 {
    bytes.into_iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
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
        assert_eq!(host_if("fwd0", Ipv4Addr::new(10, 77, 0, 2)), "fwdv1a9906587");
        assert_eq!(bridge("a-rather-long-network-name", |_| false), "fwd-c4a1e28f02");
    }

    #[test]
    fn half_made_links_are_known_by_their_addresses() {
        let bridge =
            Link { kind: Some("bridge".into()), mac: Some(gateway_mac([10, 0, 0, 1].into())), ..Link::default() };
        assert!(is_our_bridge(&bridge));
        assert!(!is_our_bridge(&Link { alias: Some("theirs".into()), ..bridge.clone() }));
        assert!(!is_our_bridge(&Link { mac: Some([2, 0, 0, 0, 0, 1]), ..bridge }));
    }

    proptest! {
        #[test]
        fn host_end_has_a_valid_name(network in ".{1,80}", address: u32) {
            prop_assert!(is_ifname(&host_if(&network, address.into())));
        }

        #[test]
        fn alias_fits(network in ".{1,255}", ns in ".{1,255}") {
            prop_assert!(endpoint_alias(&network, &ns).len() <= ALIAS_MAX);
            prop_assert!(network_alias(&network).len() <= ALIAS_MAX);
        }
    }
}
