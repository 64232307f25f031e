//! Names and values of the sysctls that are changed.

/// The sysctl that makes every interface forward: `net.ipv4.ip_forward`.
pub const ALL_FORWARDING: &str = "net/ipv4/conf/all/forwarding";
/// Value of a sysctl that is on.
pub(crate) const ON: &str = "1";
/// Value of a sysctl that is off.
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
