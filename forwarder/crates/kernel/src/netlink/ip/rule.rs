//! Rules of policy routing (`ip rule`).

use std::fmt;

use rtnetlink::packet_route::{
    AddressFamily, RouteNetlinkMessage,
    rule::{RuleAttribute, RuleFlags, RuleMessage},
};

use crate::netlink::Netlink;
use fwd_base::Result;

/// A rule of IPv4 that only packets with a mark follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarkRule {
    /// Its place among the rules.
    pub priority: u32,
    /// The mark.
    pub mark: u32,
    /// Which bits of it count.
    pub mask: u32,
}

impl fmt::Display for MarkRule {
    /// As `ip rule` shows it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { priority, mark, mask } = self;
        write!(f, "{priority}: fwmark {mark:#x}")?;
        if *mask == u32::MAX { Ok(()) } else { write!(f, "/{mask:#x}") }
    }
}

/// The rules of the calling thread's namespace that only packets with a mark follow. Packets of a namespace have none when they come to the
/// programs: rules of netfilter would mark them later.
///
/// # Errors
/// The kernel refuses.
pub fn mark_rules() -> Result<Vec<MarkRule>> {
    let mut request = RuleMessage::default();
    request.header.family = AddressFamily::Inet;
    let rules = Netlink::here()?.dump(&RouteNetlinkMessage::GetRule(request));
    let rules = rules.map_err(|failure| failure.doing("list", "the rules of routing"))?;
    Ok(rules.into_iter().filter_map(read).collect())
}

fn read(object: RouteNetlinkMessage) -> Option<MarkRule> {
    let RouteNetlinkMessage::NewRule(rule) = object else { return None };
    // One that all follow but those with a mark is followed.
    if rule.header.family != AddressFamily::Inet || rule.header.flags.contains(RuleFlags::Invert) {
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
    mark.filter(|mark| mark & mask != 0).map(|mark| MarkRule { priority, mark, mask })
}
