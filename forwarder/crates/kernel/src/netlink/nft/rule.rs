//! The rule of a network as expressions, byte for byte what `nft` makes of it.

use std::net::{IpAddr, Ipv4Addr};

pub(super) mod counted;

use ipnet::Ipv4Net;
use rtnetlink::packet_core::DefaultNla;

use super::{
    LOOPBACK, Leaving, Masquerade, Message,
    message::{attribute, attributes, bytes, nested, number, string, text, until_nul, wide},
};

// Attributes of include/uapi/linux/netfilter/nf_tables.h: NFTA_RULE_*, NFTA_LIST_*, NFTA_EXPR_*, and those of expressions.
pub(super) const TABLE: u16 = 1;
pub(super) const RULE_CHAIN: u16 = 2;
const HANDLE: u16 = 3;
pub(super) const EXPRESSIONS: u16 = 4;
const USERDATA: u16 = 7;
const ELEMENT: u16 = 1;
const EXPR_NAME: u16 = 1;
const EXPR_DATA: u16 = 2;
const PAYLOAD_DREG: u16 = 1;
const PAYLOAD_BASE: u16 = 2;
const PAYLOAD_OFFSET: u16 = 3;
const PAYLOAD_LEN: u16 = 4;
const BITWISE_SREG: u16 = 1;
const BITWISE_DREG: u16 = 2;
const BITWISE_LEN: u16 = 3;
const BITWISE_MASK: u16 = 4;
const BITWISE_XOR: u16 = 5;
const CMP_SREG: u16 = 1;
const CMP_OP: u16 = 2;
const CMP_DATA: u16 = 3;
const META_DREG: u16 = 1;
const META_KEY: u16 = 2;
const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;
const VERDICT_CODE: u16 = 1;
const IMMEDIATE_DREG: u16 = 1;
const IMMEDIATE_DATA: u16 = 2;
const CT_DREG: u16 = 1;
const CT_KEY: u16 = 2;

/// `NFT_CT_STATE`.
const CT_STATE: u32 = 0;
/// `NF_CT_STATE_BIT(IP_CT_ESTABLISHED)`, in host byte order as the register has it.
pub(super) const ESTABLISHED: u32 = 1 << 1;
/// `NF_CT_STATE_BIT(IP_CT_RELATED)`.
pub(super) const RELATED: u32 = 1 << 2;
/// `NF_CT_STATE_BIT(IP_CT_NEW)`.
pub(super) const NEW: u32 = 1 << 3;
/// `NF_CT_STATE_INVALID_BIT`.
pub(super) const INVALID: u32 = 1 << 0;
/// `NF_CT_STATE_UNTRACKED_BIT`.
pub(super) const UNTRACKED: u32 = 1 << 6;
/// `NF_DROP`.
const NF_DROP: u32 = 0;
/// `NFT_REG_VERDICT`.
const REGISTER_VERDICT: u32 = 0;

/// `NFT_REG_1`.
pub(super) const REGISTER: u32 = 1;
/// `NFT_PAYLOAD_NETWORK_HEADER`.
const NETWORK_HEADER: u32 = 1;
/// Of the source address in an IPv4 header, bytes.
const SOURCE_OFFSET: u32 = 12;
const ADDRESS_LEN: u32 = 4;
/// `NFT_META_IIF`.
pub(super) const IIF: u32 = 4;
/// `NFT_META_OIF`.
pub(super) const OIF: u32 = 5;
/// `NFT_META_IIFNAME`.
pub(super) const IIFNAME: u32 = 6;
/// `NFT_META_OIFNAME`.
pub(super) const OIFNAME: u32 = 7;
/// `NFT_META_IIFTYPE`.
pub(super) const IIFTYPE: u32 = 8;
/// `NFT_META_OIFTYPE`.
pub(super) const OIFTYPE: u32 = 9;
/// `NFT_CMP_EQ`.
pub(super) const EQUAL: u32 = 0;
/// `NFT_CMP_NEQ`.
pub(super) const DIFFERENT: u32 = 1;
/// `NFTNL_UDATA_RULE_COMMENT`: the type of the comment among the TLVs (one byte each of type and length) in a rule's userdata.
const COMMENT: u8 = 0;

/// A rule of the table.
#[derive(Debug)]
pub(super) struct Rule {
    chain: String,
    handle: u64,
    /// The comment, in our table the name of a network.
    pub(super) comment: Option<String>,
    /// Its expressions.
    expressions: Vec<u8>,
    /// What it says, if it says what a rule of ours says.
    pub(super) masquerade: Option<Masquerade>,
}

impl Rule {
    pub(super) fn read(message: &Message) -> Self {
        let attributes = message.attributes();
        let comment = attribute(attributes, USERDATA).and_then(|userdata| comment(&userdata));
        let expressions = attribute(attributes, EXPRESSIONS).unwrap_or_default();
        let masquerade = comment.clone().and_then(|network| read_expressions(&expressions, network));
        let handle = attribute(attributes, HANDLE).and_then(|value| value.try_into().ok()).map(u64::from_be_bytes);
        Self {
            chain: message.string(RULE_CHAIN).unwrap_or_default(),
            handle: handle.unwrap_or_default(),
            comment,
            expressions,
            masquerade,
        }
    }

    pub(super) fn is_in(&self, chain: &str) -> bool {
        self.chain == chain
    }

    pub(super) fn is_of(&self, network: &str) -> bool {
        self.comment.as_deref() == Some(network)
    }

    /// Whether it is of a published port or an endpoint of this network.
    pub(super) fn is_of_part_of(&self, network: &str) -> bool {
        let rest = self.comment.as_deref().and_then(|comment| comment.strip_prefix(network));
        rest.is_some_and(|rest| rest.starts_with(' '))
    }

    /// What of a network it is about: names of networks have no blank.
    fn part(&self) -> Option<&str> {
        self.comment.as_deref()?.split_once(' ').map(|(_, part)| part)
    }

    /// Whether it is of nothing less than a network.
    pub(super) fn is_of_whole_network(&self) -> bool {
        self.part().is_none()
    }

    /// Whether it is of a published port, `SOCKET/PROTOCOL`.
    pub(super) fn is_of_any_port(&self) -> bool {
        self.part().is_some_and(|part| part.contains('/'))
    }

    /// Whether it is of an endpoint, `ADDRESS`.
    pub(super) fn is_of_any_endpoint(&self) -> bool {
        self.part().is_some_and(|part| !part.contains('/'))
    }

    /// Whether it is of the endpoint with this address, whatever its network is called.
    pub(super) fn is_of_endpoint(&self, address: IpAddr) -> bool {
        self.part().and_then(|part| part.parse().ok()) == Some(address)
    }

    /// The name that its first comparison is with.
    pub(super) fn first_name(&self) -> Option<String> {
        let comparison = attributes(&self.expressions)
            .map(|(_, element)| element)
            .find(|element| string(element, EXPR_NAME).as_deref() == Some("cmp"))?;
        let value = attribute(&attribute(&comparison, EXPR_DATA)?, CMP_DATA)?;
        until_nul(&attribute(&value, DATA_VALUE)?)
    }

    /// The message that deletes it.
    pub(super) fn deletion(&self) -> Message {
        Message::delete_rule(vec![text(TABLE, super::TABLE), text(RULE_CHAIN, &self.chain), wide(HANDLE, self.handle)])
    }
}

/// The message that appends a rule of a network to a chain.
pub(super) fn addition(chain: &str, network: &str, expressions: &[DefaultNla]) -> Message {
    let mut userdata = vec![COMMENT];
    // The caller has checked that the name is shorter than 128 bytes.
    userdata.extend(u8::try_from(network.len() + 1));
    userdata.extend(network.as_bytes());
    userdata.push(0);
    Message::new_rule(vec![
        text(TABLE, super::TABLE),
        text(RULE_CHAIN, chain),
        nested(EXPRESSIONS, expressions),
        bytes(USERDATA, &userdata),
    ])
}

/// `ip saddr SUBNET`, by which it [leaves](Leaving), and `masquerade`.
pub(super) fn expressions(rule: &Masquerade) -> Vec<DefaultNla> {
    let mut expressions = vec![of_network_header(SOURCE_OFFSET, ADDRESS_LEN)];
    if rule.subnet.prefix_len() < 32 {
        expressions.push(expression("bitwise", &masked(&rule.subnet.netmask().octets())));
    }
    expressions.push(equals(&rule.subnet.network().octets()));
    expressions.extend(rule.leaving.expressions());
    expressions.push(expression("masq", &[]));
    expressions
}

impl Leaving {
    /// The condition as expressions.
    pub(super) fn expressions(&self) -> Vec<DefaultNla> {
        let names = match self {
            Self::By(uplink) => vec![(EQUAL, uplink.as_str())],
            Self::NotBy(bridge) => vec![(DIFFERENT, bridge.as_str()), (DIFFERENT, LOOPBACK)],
        };
        let compare = |(how, name)| [meta(OIFNAME), expression("cmp", &compared(how, &padded(name)))];
        names.into_iter().flat_map(compare).collect()
    }
}

/// Loads bytes of the network header.
pub(super) fn of_network_header(offset: u32, length: u32) -> DefaultNla {
    expression(
        "payload",
        &[
            number(PAYLOAD_DREG, REGISTER),
            number(PAYLOAD_BASE, NETWORK_HEADER),
            number(PAYLOAD_OFFSET, offset),
            number(PAYLOAD_LEN, length),
        ],
    )
}

/// The name of an interface as it is compared; the caller has checked that it is short enough.
pub(super) fn padded(name: &str) -> [u8; libc::IFNAMSIZ] {
    let mut padded = [0; libc::IFNAMSIZ];
    padded.iter_mut().zip(name.bytes()).for_each(|(to, from)| *to = from);
    padded
}

/// Loads what is known of a packet besides its bytes: name, number or type of an interface.
pub(super) fn meta(key: u32) -> DefaultNla {
    expression("meta", &[number(META_KEY, key), number(META_DREG, REGISTER)])
}

/// Loads the state of the connection.
pub(super) fn conntrack_state() -> DefaultNla {
    expression("ct", &[number(CT_KEY, CT_STATE), number(CT_DREG, REGISTER)])
}

/// `drop`.
pub(super) fn drop() -> DefaultNla {
    let verdict = nested(DATA_VERDICT, &[number(VERDICT_CODE, NF_DROP)]);
    expression("immediate", &[number(IMMEDIATE_DREG, REGISTER_VERDICT), nested(IMMEDIATE_DATA, &[verdict])])
}

fn equals(value: &[u8]) -> DefaultNla {
    expression("cmp", &compared(EQUAL, value))
}

/// The register compared with a value.
pub(super) fn compared(operation: u32, value: &[u8]) -> [DefaultNla; 3] {
    [number(CMP_SREG, REGISTER), number(CMP_OP, operation), nested(CMP_DATA, &[bytes(DATA_VALUE, value)])]
}

/// The register and a mask.
pub(super) fn masked(mask: &[u8]) -> [DefaultNla; 5] {
    [
        number(BITWISE_SREG, REGISTER),
        number(BITWISE_DREG, REGISTER),
        number(BITWISE_LEN, mask.len() as u32),
        nested(BITWISE_MASK, &[bytes(DATA_VALUE, mask)]),
        nested(BITWISE_XOR, &[bytes(DATA_VALUE, &vec![0; mask.len()])]),
    ]
}

pub(super) fn expression(name: &str, data: &[DefaultNla]) -> DefaultNla {
    nested(ELEMENT, &[text(EXPR_NAME, name), nested(EXPR_DATA, data)])
}

/// What the expressions say, if they are of the shape that [`expressions`] makes or `nft` makes of the same text.
fn read_expressions(list: &[u8], network: String) -> Option<Masquerade> {
    let mut loaded = String::new();
    let mut mask = Ipv4Addr::BROADCAST;
    let mut subnet = None;
    let mut names = Vec::new();
    let mut masquerades = false;
    for (_, element) in attributes(list) {
        let name = string(&element, EXPR_NAME)?;
        let data = attribute(&element, EXPR_DATA).unwrap_or_default();
        let value = |kind| attribute(&data, kind).and_then(|data| attribute(&data, DATA_VALUE));
        match name.as_str() {
            "bitwise" => mask = <[u8; 4]>::try_from(value(BITWISE_MASK)?).ok()?.into(),
            "cmp" if loaded == "payload" => {
                // `nft` loads only the bytes that a prefix on a byte boundary covers.
                let compared = value(CMP_DATA)?;
                let length = u8::try_from(compared.len() * 8).ok()?;
                let mut octets = [0; 4];
                octets.get_mut(..compared.len())?.copy_from_slice(&compared);
                let prefix = ipnet::ipv4_mask_to_prefix(mask).ok()?.min(length);
                subnet = Some(Ipv4Net::new(octets.into(), prefix).ok()?);
            }
            "cmp" if loaded == "meta" => {
                let how = attribute(&data, CMP_OP)?.try_into().ok().map(u32::from_be_bytes)?;
                names.push((how, until_nul(&value(CMP_DATA)?)?));
            }
            "payload" | "meta" => loaded = name,
            "masq" => masquerades = true,
            _ => return None,
        }
    }
    let leaving = match names.as_slice() {
        [(EQUAL, uplink)] => Leaving::By(uplink.clone()),
        [(DIFFERENT, bridge), (DIFFERENT, loopback)] if loopback == LOOPBACK => Leaving::NotBy(bridge.clone()),
        _ => return None,
    };
    masquerades.then_some(Masquerade { network, subnet: subnet?, leaving })
}

/// The comment among the TLVs of a rule's userdata.
fn comment(mut userdata: &[u8]) -> Option<String> {
    while let [kind, length, rest @ ..] = userdata {
        let (value, after) = rest.split_at_checked(usize::from(*length))?;
        if *kind == COMMENT {
            return until_nul(value);
        }
        userdata = after;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masquerade(subnet: &str) -> Masquerade {
        let leaving = Leaving::By("eth0".into());
        Masquerade { network: "default".into(), subnet: subnet.parse().unwrap(), leaving }
    }

    fn list(rule: &Masquerade) -> Vec<u8> {
        let message = addition("postrouting", &rule.network, &expressions(rule));
        attribute(message.attributes(), EXPRESSIONS).unwrap()
    }

    #[test]
    fn expressions_are_those_of_nft() {
        // Sent by nft 1.0.6 for `ip saddr 10.77.0.0/20 oifname "eth0" masquerade comment "default"`.
        let sent: &[u8] =
            b"\x34\x00\x01\x80\x0c\x00\x01\x00payload\x00\x24\x00\x02\x80\x08\x00\x01\x00\x00\x00\x00\x01\
            \x08\x00\x02\x00\x00\x00\x00\x01\x08\x00\x03\x00\x00\x00\x00\x0c\x08\x00\x04\x00\x00\x00\x00\x04\
            \x44\x00\x01\x80\x0c\x00\x01\x00bitwise\x00\x34\x00\x02\x80\x08\x00\x01\x00\x00\x00\x00\x01\
            \x08\x00\x02\x00\x00\x00\x00\x01\x08\x00\x03\x00\x00\x00\x00\x04\
            \x0c\x00\x04\x80\x08\x00\x01\x00\xff\xff\xf0\x00\x0c\x00\x05\x80\x08\x00\x01\x00\x00\x00\x00\x00\
            \x2c\x00\x01\x80\x08\x00\x01\x00cmp\x00\x20\x00\x02\x80\x08\x00\x01\x00\x00\x00\x00\x01\
            \x08\x00\x02\x00\x00\x00\x00\x00\x0c\x00\x03\x80\x08\x00\x01\x00\x0a\x4d\x00\x00\
            \x24\x00\x01\x80\x09\x00\x01\x00meta\x00\x00\x00\x00\x14\x00\x02\x80\x08\x00\x02\x00\x00\x00\x00\x07\
            \x08\x00\x01\x00\x00\x00\x00\x01\x38\x00\x01\x80\x08\x00\x01\x00cmp\x00\x2c\x00\x02\x80\
            \x08\x00\x01\x00\x00\x00\x00\x01\x08\x00\x02\x00\x00\x00\x00\x00\x18\x00\x03\x80\x14\x00\x01\x00eth0\
            \x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\
            \x14\x00\x01\x80\x09\x00\x01\x00masq\x00\x00\x00\x00\x04\x00\x02\x80";
        assert_eq!(list(&masquerade("10.77.0.0/20")), sent);
        let rule = masquerade("10.77.0.0/20");
        let userdata = attribute(addition("postrouting", "default", &expressions(&rule)).attributes(), USERDATA);
        assert_eq!(userdata.as_deref(), Some(&b"\x00\x08default\x00"[..]));
    }

    #[test]
    fn what_is_written_is_read_back() {
        for subnet in ["10.77.0.0/24", "10.77.0.0/20", "10.0.0.0/8", "192.0.2.1/32", "10.77.0.4/30"] {
            let rule = masquerade(subnet);
            let anywhere = Masquerade { leaving: Leaving::NotBy("fwd0".into()), ..rule.clone() };
            for rule in [rule, anywhere] {
                assert_eq!(read_expressions(&list(&rule), "default".into()), Some(rule));
            }
        }
    }

    #[test]
    fn comment_is_found_behind_other_userdata_and_broken_userdata_has_none() {
        assert_eq!(comment(b"\x01\x02xy\x00\x03ab\x00").as_deref(), Some("ab"));
        assert_eq!(comment(b"\x00\xffab"), None);
        assert_eq!(comment(b"\x00"), None);
        assert_eq!(comment(b""), None);
    }

    #[test]
    fn foreign_rules_are_not_taken_for_ours() {
        let drop = nested(ELEMENT, &[text(EXPR_NAME, "immediate")]);
        let mut list = list(&masquerade("10.77.0.0/24"));
        list.extend(nested_bytes(&drop));
        assert_eq!(read_expressions(&list, "default".into()), None);
        assert_eq!(read_expressions(&[], "default".into()), None);
    }

    fn nested_bytes(nla: &DefaultNla) -> Vec<u8> {
        use rtnetlink::packet_core::Emitable;
        let mut buffer = vec![0; nla.buffer_len()];
        nla.emit(&mut buffer);
        buffer
    }
}
