//! Names of IP protocols.

/// Name of an IP protocol, or its number.
#[must_use]
pub fn name(number: u8) -> String {
    match i32::from(number) {
        libc::IPPROTO_TCP => "tcp".into(),
        libc::IPPROTO_UDP => "udp".into(),
        libc::IPPROTO_ICMP => "icmp".into(),
        libc::IPPROTO_ICMPV6 => "icmp6".into(),
        libc::IPPROTO_IPIP => "ipip".into(),
        libc::IPPROTO_IPV6 => "ipv6".into(),
        libc::IPPROTO_GRE => "gre".into(),
        libc::IPPROTO_ESP => "esp".into(),
        libc::IPPROTO_SCTP => "sctp".into(),
        libc::IPPROTO_UDPLITE => "udplite".into(),
        other => other.to_string(),
    }
}
