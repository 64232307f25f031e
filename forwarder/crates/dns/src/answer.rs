//! What becomes of a query.

use std::net::IpAddr;

use hickory_proto::{
    op::ResponseCode,
    rr::{DNSClass, RecordType},
};

use crate::{
    message::{Asked, Transport},
    table::{Others, Reverse, View},
};

/// What becomes of a query.
#[derive(Debug)]
pub(crate) enum Step {
    /// Nothing: it is no query, or cannot be answered.
    Drop,
    /// This is the answer.
    Reply(Vec<u8>),
    /// Others are asked, as it is; the answer if nobody of them knows one.
    Ask(Vec<u8>),
}

/// Decides about a query by its bytes and what its asker sees.
pub(crate) fn decide(query: &[u8], seen: &View<'_>, transport: Transport) -> Step {
    match Asked::read(query, transport) {
        Ok(asked) => of(&asked, seen),
        Err(refusal) => reply(refusal),
    }
}

fn of(asked: &Asked, seen: &View<'_>) -> Step {
    let Some(question) = asked.question() else { return Step::Drop };
    if asked.is_of_later_edns() {
        return reply(asked.only(ResponseCode::BADVERS));
    }
    let kind = question.query_type();
    // Whole zones are nobody's here, and others' are not asked for through this server.
    if question.query_class() != DNSClass::IN || matches!(kind, RecordType::AXFR | RecordType::IXFR) {
        return reply(asked.only(ResponseCode::Refused));
    }
    let name = question.name().to_lowercase();
    if let Ok(address) = name.parse_arpa_name()
        && address.prefix_len() == address.max_prefix_len()
    {
        match seen.reverse(address.addr()) {
            Reverse::Name(name) if matches!(kind, RecordType::PTR | RecordType::ANY) => {
                return reply(asked.called(&name));
            }
            Reverse::Name(_) => return reply(asked.only(ResponseCode::NoError)),
            Reverse::Nobody => return reply(asked.only(ResponseCode::NXDomain)),
            Reverse::Elsewhere => {}
        }
    } else if let Some(addresses) = seen.addresses(name.to_ascii().trim_end_matches('.')) {
        // Of a name that is there never "no such name", whatever it has not (RFC 8020): resolvers would give up on its other family.
        let wanted = |address: &IpAddr| match kind {
            RecordType::A => address.is_ipv4(),
            RecordType::AAAA => address.is_ipv6(),
            RecordType::ANY => true,
            _ => false,
        };
        return reply(asked.addresses(addresses.iter().copied().filter(wanted)));
    }
    match seen.others {
        // Of the network's own names nobody else tells: there may be such a domain, and a namespace that is down would become a stranger's.
        _ if seen.is_below(name.to_ascii().trim_end_matches('.')) => reply(asked.only(ResponseCode::NXDomain)),
        Others::Asked => asked.only(ResponseCode::ServFail).map_or(Step::Drop, Step::Ask),
        Others::Absent => reply(asked.only(ResponseCode::NXDomain)),
        Others::Refused => reply(asked.only(ResponseCode::Refused)),
    }
}

fn reply(bytes: Option<Vec<u8>>) -> Step {
    bytes.map_or(Step::Drop, Step::Reply)
}

#[cfg(test)]
mod tests;
