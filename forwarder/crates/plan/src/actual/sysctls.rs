//! Names and values of the sysctls that are changed.

/// The sysctl that makes every interface forward: `net.ipv4.ip_forward`.
pub const ALL_FORWARDING: &str = "net/ipv4/conf/all/forwarding";
/// Value of a sysctl that is on, and of one that is off.
pub(crate) const ON: &str = "1";
pub(crate) const OFF: &str = "0";

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

/// Whether a path below /proc/sys is of this interface.
pub(crate) fn is_of(path: &str, interface: &str) -> bool {
    path.rsplit('/').nth(1) == Some(interface)
}
