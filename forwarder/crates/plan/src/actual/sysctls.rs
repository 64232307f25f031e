//! Names and values of the sysctls that are changed, and what the changed ones mean.

use crate::{Host, SysctlRecord, Undo};

/// The sysctl that makes every interface forward: `net.ipv4.ip_forward`.
pub const ALL_FORWARDING: &str = "net/ipv4/conf/all/forwarding";
/// Value of a sysctl that is on, and of one that is off.
pub(crate) const ON: &str = "1";
pub(crate) const OFF: &str = "0";

/// Whether somebody has made a router of the host, all of it, since `fwd` switched forwarding on at interfaces: `changed` are the sysctls
/// that were changed, `all` is what [`ALL_FORWARDING`] says now.
pub(crate) fn routes_since<'a>(mut changed: impl Iterator<Item = &'a SysctlRecord>, all: Option<&str>) -> bool {
    let witness = changed.find(|record| record.path == ALL_FORWARDING);
    all == Some(ON) && witness.is_none_or(|witness| witness.original != ON)
}

/// Whether what arrives by the interface with this number is forwarded for namespaces alone: it was not forwarded before, as the undo log
/// says, and the host routes for nobody since.
#[must_use]
pub fn refuses_transit(undo: &[Undo], ifindex: u32, all: Option<&str>) -> bool {
    let changed = || undo.iter().filter_map(|entry| if let Undo::Sysctl(record) = entry { Some(record) } else { None });
    changed().any(|record| record.is_of(ifindex) && !record.is_ipv6()) && !routes_since(changed(), all)
}

/// The sysctl that lets packets that arrive at an interface be forwarded.
#[must_use]
pub fn forwarding(interface: &str) -> String {
    format!("net/ipv4/conf/{interface}/forwarding")
}

/// The sysctl that says which ARP requests are answered at an interface: 8 is none (Documentation/networking/ip-sysctl.rst).
#[must_use]
pub fn arp_ignore(interface: &str) -> String {
    format!("net/ipv4/conf/{interface}/arp_ignore")
}

/// The sysctl that lets a host forward IPv6 at all: it sets that of every interface with it, and those only say whether the host acts as
/// a router there.
pub const ALL_FORWARDING6: &str = "net/ipv6/conf/all/forwarding";

/// The sysctl that says whether the host is a router of IPv6 at an interface.
#[must_use]
pub fn forwarding6(interface: &str) -> String {
    format!("net/ipv6/conf/{interface}/forwarding")
}

/// The sysctl that says whether router advertisements are heeded at an interface: 1 unless the host is a router there, [`HEEDED`] even then
/// (Documentation/networking/ip-sysctl.rst).
#[must_use]
pub fn accept_ra(interface: &str) -> String {
    format!("net/ipv6/conf/{interface}/accept_ra")
}
/// See [`accept_ra`].
pub(crate) const HEEDED: &str = "2";

/// The sysctl that takes IPv6 from an interface.
#[must_use]
pub fn disable_ipv6(interface: &str) -> String {
    format!("net/ipv6/conf/{interface}/disable_ipv6")
}

/// The sysctl that lets a host go by no IPv4 route of any interface without a carrier, whatever [`ignore_linkdown`] says.
pub const ALL_IGNORE_LINKDOWN: &str = "net/ipv4/conf/all/ignore_routes_with_linkdown";

/// The sysctl that lets a host go by no IPv4 route of an interface while that has no carrier: a bridge without ports has none.
#[must_use]
pub fn ignore_linkdown(interface: &str) -> String {
    format!("net/ipv4/conf/{interface}/ignore_routes_with_linkdown")
}

/// The same of IPv6, where that of the interface alone counts (`rt6_score_route` and others, net/ipv6/route.c).
#[must_use]
pub fn ignore_linkdown6(interface: &str) -> String {
    format!("net/ipv6/conf/{interface}/ignore_routes_with_linkdown")
}

/// The sysctl that lets an interface take up no packet whose source the host would not reach by it: where the interface has no address, that is
/// none at all (`__fib_validate_source`, net/ipv4/fib_frontend.c). The larger of this and that of all interfaces counts.
#[must_use]
pub fn rp_filter(interface: &str) -> String {
    format!("net/ipv4/conf/{interface}/rp_filter")
}

/// The sysctl that lets a host answer by neighbour discovery for the addresses of which it is told that it is to (`ip neigh add proxy`):
/// that of all interfaces, for it alone is asked about the questions that go to such an address itself (net/ipv6/ip6_output.c).
pub const PROXY_NDP: &str = "net/ipv6/conf/all/proxy_ndp";

/// Whether a path below /proc/sys is of this interface.
pub(crate) fn is_of(path: &str, interface: &str) -> bool {
    path.rsplit('/').nth(1) == Some(interface)
}

impl SysctlRecord {
    /// Whether it says that the host is a router of IPv6 at one interface, or at new ones: what `fwd` never changes, and the kernel does
    /// when it is told to forward at all, or not to (`addrconf_fixup_forwarding`, net/ipv6/addrconf.c).
    pub(crate) fn goes_with_forwarding6(&self) -> bool {
        self.is_ipv6() && self.path != ALL_FORWARDING6 && self.path.ends_with("/forwarding")
    }
}

impl Host {
    /// Takes in that a sysctl has another value. That of all interfaces for IPv6 is that of each then, and of new ones.
    pub(crate) fn set_sysctl(&mut self, path: &str, value: &str) {
        self.sysctls.insert(path.into(), value.into());
        let of_each = |path: &str| path.starts_with("net/ipv6/conf/") && path.ends_with("/forwarding");
        let followers = self.sysctls.iter_mut().filter(|(known, _)| path == ALL_FORWARDING6 && of_each(known));
        followers.for_each(|(_, follower)| value.clone_into(follower));
    }
}
