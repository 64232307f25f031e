//! Rules of policy routing (`ip rule`).

use std::fmt;

use rtnetlink::packet_route::{
    AddressFamily, RouteNetlinkMessage,
    rule::{RuleAttribute, RuleFlags, RuleMessage},
};

use crate::netlink::Netlink;
use fwd_base::Result;

/// A rule that only packets with a mark follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarkRule {
    /// Of IPv6, else of IPv4.
    pub ipv6: bool,
    /// Its place among the rules.
    pub priority: u32,
    /// The mark.
    pub mark: u32,
    /// Which bits of it count.
    pub mask: u32,
}

impl fmt::Display for MarkRule {
    /// With the command that shows it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ipv6, priority, mark, mask } = self;
        write!(f, "ip {}rule {priority}: fwmark {mark:#x}", if *ipv6 { "-6 " } else { "" })?;
        if *mask == u32::MAX { Ok(()) } else { write!(f, "/{mask:#x}") }
    }
}

/// The rules of the calling thread's namespace, of both families, that only packets with a mark follow. Packets of a namespace have none when they come to the
/// programs: rules of netfilter would mark them later.
///
/// # Errors
/// The kernel refuses.
pub fn mark_rules() -> Result<Vec<MarkRule>> {
    let netlink = Netlink::here()?;
    let mut found = Vec::new();
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let mut request = RuleMessage::default();
        request.header.family = family;
        match netlink.dump(&RouteNetlinkMessage::GetRule(request)) {
            // A kernel without IPv6, or without rules of it.
            Err(failure) if matches!(failure.errno(), Some(libc::EAFNOSUPPORT | libc::EOPNOTSUPP)) => {}
            rules => {
                let rules = rules.map_err(|failure| failure.doing("list", "the rules of routing"))?;
                found.extend(rules.into_iter().filter_map(read));
            }
        }
    }
    Ok(found)
}

fn read(object: RouteNetlinkMessage) -> Option<MarkRule> {
    let RouteNetlinkMessage::NewRule(rule) = object else { return None };
    // One that all follow but those with a mark is followed.
    let ipv6 = match rule.header.family {
        AddressFamily::Inet => false,
        AddressFamily::Inet6 => true,
        _ => return None,
    };
    if rule.header.flags.contains(RuleFlags::Invert) {
        return None;
    }
    let (mut mark, mut mask, mut priority) = (None, u32::MAX, 0);
    for attribute in rule.attributes {
        match attribute {
            RuleAttribute::FwMark(value) => mark = Some(value),
            RuleAttribute::FwMask(value) => mask = value,
            RuleAttribute::Priority(value) => priority = value,
            _ => {}
        }
    }
    mark.filter(|mark| mark & mask != 0).map(|mark| MarkRule { ipv6, priority, mark, mask })
}
