//! What rules of several kinds are made of, of either family.

use std::{net::IpAddr, ops::RangeInclusive};

use ipnet::IpNet;
use rtnetlink::packet_core::DefaultNla;

use super::{
    message::{bytes, nested, number, text},
    rule::{self, expression},
};

/// Which of the two addresses of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Source,
    Destination,
}

/// Whose packets of a connection: those of who began it, or the answers. As they come: before any translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// `IP_CT_DIR_ORIGINAL`.
    Original = 0,
    /// `IP_CT_DIR_REPLY`.
    Reply = 1,
}

// Attributes of include/uapi/linux/netfilter/nf_tables.h: NFTA_FIB_*, NFTA_NAT_*, NFTA_RANGE_*, NFTA_CT_*, NFTA_PAYLOAD_*, NFTA_META_*,
// NFTA_IMMEDIATE_*, NFTA_DATA_*, NFTA_VERDICT_*.
const FIB_DREG: u16 = 1;
const FIB_RESULT: u16 = 2;
const FIB_FLAGS: u16 = 3;
const NAT_TYPE: u16 = 1;
const NAT_FAMILY: u16 = 2;
const NAT_ADDRESS: u16 = 3;
const NAT_LAST_ADDRESS: u16 = 4;
const NAT_PORT: u16 = 5;
const NAT_FLAGS: u16 = 7;
const RANGE_SREG: u16 = 1;
const RANGE_OP: u16 = 2;
const RANGE_FROM: u16 = 3;
const RANGE_TO: u16 = 4;
const CT_DREG: u16 = 1;
const CT_KEY: u16 = 2;
const CT_DIRECTION: u16 = 3;
const CT_SREG: u16 = 4;
const PAYLOAD_DREG: u16 = 1;
const PAYLOAD_BASE: u16 = 2;
const PAYLOAD_OFFSET: u16 = 3;
const PAYLOAD_LEN: u16 = 4;
const META_DREG: u16 = 1;
const META_KEY: u16 = 2;
const IMMEDIATE_DREG: u16 = 1;
const IMMEDIATE_DATA: u16 = 2;
const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;
const VERDICT_CODE: u16 = 1;
const VERDICT_CHAIN: u16 = 2;
/// `NFT_FIB_RESULT_ADDRTYPE`, `NFTA_FIB_F_SADDR`, `NFTA_FIB_F_DADDR`, and `RTN_LOCAL` in host byte order.
const ADDRESS_TYPE: u32 = 3;
const OF_SOURCE: u32 = 1 << 0;
const OF_DESTINATION: u32 = 1 << 1;
const LOCAL: u32 = 2;
/// `NFT_NAT_SNAT`, `NFT_NAT_DNAT`, `NFPROTO_IPV4`, `NFPROTO_IPV6`, `NF_NAT_RANGE_PERSISTENT`.
const SNAT: u32 = 0;
const DNAT: u32 = 1;
const IPV4: u32 = 2;
const IPV6: u32 = 10;
const PERSISTENT: u32 = 1 << 3;
/// `NFT_REG_2`.
const SECOND_REGISTER: u32 = 2;
/// `NFT_PAYLOAD_LL_HEADER`, and where the type of a frame is in it.
const LINK_HEADER: u32 = 0;
const FRAME_TYPE_OFFSET: u32 = 12;
/// Types of ICMPv6 (RFC 4861).
const NEIGHBOUR_SOLICITATION: u8 = 135;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
/// `NFT_PAYLOAD_TRANSPORT_HEADER`, and where the destination port is in it.
const TRANSPORT_HEADER: u32 = 2;
const PORT_OFFSET: u32 = 2;
/// Length of all labels of a connection, bytes (`NF_CT_LABELS_MAX_SIZE`).
const LABELS_LEN: usize = 16;
/// `ARPHRD_ETHER`.
const ETHERNET: u16 = 1;
/// `NFT_META_L4PROTO`.
const L4PROTO: u32 = 16;
/// `NFT_CT_STATUS`, `NFT_CT_PROTOCOL`, `NFT_CT_PROTO_SRC`, `NFT_CT_PROTO_DST`, `NFT_CT_LABELS`, `NFT_CT_SRC_IP`, `NFT_CT_DST_IP`, `NFT_CT_SRC_IP6`, `NFT_CT_DST_IP6`; `IPS_DST_NAT` in host byte order.
const CT_STATUS: u32 = 2;
const CT_PROTOCOL: u32 = 10;
const CT_PROTO_SRC: u32 = 11;
const CT_PROTO_DST: u32 = 12;
const CT_LABELS: u32 = 13;
const CT_SRC_IP: u32 = 19;
const CT_DST_IP: u32 = 20;
const CT_SRC_IP6: u32 = 21;
const CT_DST_IP6: u32 = 22;
const DST_NAT: u32 = 1 << 5;
/// `NFT_CT_DIRECTION`.
const CT_WAY: u32 = 1;
/// `NF_ACCEPT`, `NFT_REG_VERDICT`.
const ACCEPT: u32 = 1;
const REGISTER_VERDICT: u32 = 0;
/// `NFT_JUMP`.
const JUMP: i32 = -3;

/// The bytes of an address.
pub(super) fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().into(),
        IpAddr::V6(address) => address.octets().into(),
    }
}

pub(super) fn equal(value: &[u8]) -> DefaultNla {
    expression("cmp", &rule::compared(rule::EQUAL, value))
}

pub(super) fn different(value: &[u8]) -> DefaultNla {
    expression("cmp", &rule::compared(rule::DIFFERENT, value))
}

/// What was loaded lies in a prefix.
fn within(loaded: DefaultNla, prefix: IpNet) -> Vec<DefaultNla> {
    let mut expressions = vec![loaded];
    if prefix.prefix_len() < prefix.max_prefix_len() {
        expressions.push(expression("bitwise", &rule::masked(&octets(prefix.netmask()))));
    }
    expressions.push(equal(&octets(prefix.network())));
    expressions
}

/// Loads an address of the header: of IPv4, or of IPv6.
pub(super) fn address(end: End, v4: bool) -> DefaultNla {
    let (offset, length) = match (end, v4) {
        (End::Source, true) => (12, 4),
        (End::Destination, true) => (16, 4),
        (End::Source, false) => (8, 16),
        (End::Destination, false) => (24, 16),
    };
    rule::of_network_header(offset, length)
}

/// An address of the header lies in a prefix.
pub(super) fn of_prefix(end: End, prefix: IpNet) -> Vec<DefaultNla> {
    within(address(end, matches!(prefix, IpNet::V4(_))), prefix)
}

/// An address of the header lies in no such prefix.
pub(super) fn not_of_prefix(end: End, prefix: IpNet) -> Vec<DefaultNla> {
    let mut expressions = of_prefix(end, prefix);
    expressions.pop();
    expressions.push(different(&octets(prefix.network())));
    expressions
}

/// An address of the header is one of these, first and last.
pub(super) fn of_range(end: End, first: IpAddr, last: IpAddr) -> Vec<DefaultNla> {
    if first == last {
        return of_prefix(end, first.into());
    }
    vec![address(end, first.is_ipv4()), between(&octets(first), &octets(last))]
}

/// An address of a connection's packets in this direction lies in a prefix, as they come: before any translation.
pub(super) fn of_connection(direction: Direction, end: End, prefix: IpNet) -> Vec<DefaultNla> {
    let key = match (end, prefix) {
        (End::Source, IpNet::V4(_)) => CT_SRC_IP,
        (End::Destination, IpNet::V4(_)) => CT_DST_IP,
        (End::Source, IpNet::V6(_)) => CT_SRC_IP6,
        (End::Destination, IpNet::V6(_)) => CT_DST_IP6,
    };
    within(conntrack(key, Some(direction)), prefix)
}

/// `fib saddr type local`, or of the destination, or that it is not.
pub(super) fn is_local(end: End, is: bool) -> [DefaultNla; 2] {
    let flags = if end == End::Source { OF_SOURCE } else { OF_DESTINATION };
    let load = [number(FIB_DREG, rule::REGISTER), number(FIB_RESULT, ADDRESS_TYPE), number(FIB_FLAGS, flags)];
    let local = LOCAL.to_ne_bytes();
    [expression("fib", &load), if is { equal(&local) } else { different(&local) }]
}

pub(super) fn l4proto() -> DefaultNla {
    expression("meta", &[number(META_KEY, L4PROTO), number(META_DREG, rule::REGISTER)])
}

pub(super) fn destination_port() -> DefaultNla {
    expression(
        "payload",
        &[
            number(PAYLOAD_DREG, rule::REGISTER),
            number(PAYLOAD_BASE, TRANSPORT_HEADER),
            number(PAYLOAD_OFFSET, PORT_OFFSET),
            number(PAYLOAD_LEN, 2),
        ],
    )
}

/// What the header of the link says that a frame holds; of one with a tag, that it has that.
pub(super) fn frame_type() -> DefaultNla {
    expression(
        "payload",
        &[
            number(PAYLOAD_DREG, rule::REGISTER),
            number(PAYLOAD_BASE, LINK_HEADER),
            number(PAYLOAD_OFFSET, FRAME_TYPE_OFFSET),
            number(PAYLOAD_LEN, 2),
        ],
    )
}

/// Of ICMPv6: a neighbour is asked for, or tells.
pub(super) fn is_neighbour_discovery() -> [DefaultNla; 2] {
    is_icmpv6(NEIGHBOUR_SOLICITATION..=NEIGHBOUR_ADVERTISEMENT)
}

/// Of ICMPv6: the type is one of these.
pub(super) fn is_icmpv6(types: RangeInclusive<u8>) -> [DefaultNla; 2] {
    let kind = expression(
        "payload",
        &[
            number(PAYLOAD_DREG, rule::REGISTER),
            number(PAYLOAD_BASE, TRANSPORT_HEADER),
            number(PAYLOAD_OFFSET, 0),
            number(PAYLOAD_LEN, 1),
        ],
    );
    let (first, last) = types.into_inner();
    [kind, if first == last { equal(&[first]) } else { between(&[first], &[last]) }]
}

/// `ct original proto-dst`.
pub(super) fn asked_port() -> DefaultNla {
    conntrack(CT_PROTO_DST, Some(Direction::Original))
}

/// `ct reply proto-src`: the port by which it is answered, which is that of whom it was begun with.
pub(super) fn answering_port() -> DefaultNla {
    conntrack(CT_PROTO_SRC, Some(Direction::Reply))
}

/// `ct protocol NUMBER`: of the connection, which an error of ICMP is about.
pub(super) fn of_protocol(number: u8) -> [DefaultNla; 2] {
    [conntrack(CT_PROTOCOL, None), equal(&[number])]
}

/// What was `loaded` is one of these ports.
pub(super) fn ports(loaded: DefaultNla, first: u16, last: u16) -> [DefaultNla; 2] {
    let [first, last] = [first, last].map(u16::to_be_bytes);
    [loaded, if first == last { equal(&first) } else { between(&first, &last) }]
}

/// What was loaded is one of these values, first and last.
fn between(first: &[u8], last: &[u8]) -> DefaultNla {
    expression(
        "range",
        &[
            number(RANGE_SREG, rule::REGISTER),
            number(RANGE_OP, rule::EQUAL),
            nested(RANGE_FROM, &[bytes(DATA_VALUE, first)]),
            nested(RANGE_TO, &[bytes(DATA_VALUE, last)]),
        ],
    )
}

fn conntrack(key: u32, direction: Option<Direction>) -> DefaultNla {
    let mut data = vec![number(CT_KEY, key), number(CT_DREG, rule::REGISTER)];
    data.extend(direction.map(|direction| bytes(CT_DIRECTION, &[direction as u8])));
    expression("ct", &data)
}

/// `ct direction reply`.
pub(super) fn is_reply() -> [DefaultNla; 2] {
    [conntrack(CT_WAY, None), equal(&[Direction::Reply as u8])]
}

/// `ct direction original`.
pub(super) fn is_original() -> [DefaultNla; 2] {
    [conntrack(CT_WAY, None), equal(&[Direction::Original as u8])]
}

/// `iiftype ether` or `oiftype ether`, or that it is not.
pub(super) fn is_ethernet(end: u32, is: bool) -> [DefaultNla; 2] {
    let ethernet = ETHERNET.to_ne_bytes();
    [rule::meta(end), if is { equal(&ethernet) } else { different(&ethernet) }]
}

/// `ct label NUMBER`.
pub(super) fn has_label(label: u8) -> [DefaultNla; 3] {
    [
        conntrack(CT_LABELS, None),
        expression("bitwise", &rule::masked(&of_label(label))),
        expression("cmp", &rule::compared(rule::DIFFERENT, &[0; LABELS_LEN])),
    ]
}

/// `ct label set NUMBER`.
pub(super) fn set_label(label: u8) -> [DefaultNla; 2] {
    let from = [number(CT_KEY, CT_LABELS), number(CT_SREG, rule::REGISTER)];
    [load(rule::REGISTER, &of_label(label)), expression("ct", &from)]
}

/// A label as the bitmap of all, of longs of the machine.
fn of_label(label: u8) -> [u8; LABELS_LEN] {
    (1_u128 << (u32::from(label) % u128::BITS)).to_ne_bytes()
}

/// `ct status dnat`.
pub(super) fn translated() -> [DefaultNla; 3] {
    destination_translated(rule::DIFFERENT)
}

/// `ct status ! dnat`.
pub(super) fn untranslated() -> [DefaultNla; 3] {
    destination_translated(rule::EQUAL)
}

/// Whether the bit is something else than zero, or not.
fn destination_translated(than_zero: u32) -> [DefaultNla; 3] {
    [
        conntrack(CT_STATUS, None),
        expression("bitwise", &rule::masked(&DST_NAT.to_ne_bytes())),
        expression("cmp", &rule::compared(than_zero, &[0; 4])),
    ]
}

fn load(register: u32, value: &[u8]) -> DefaultNla {
    expression("immediate", &[number(IMMEDIATE_DREG, register), nested(IMMEDIATE_DATA, &[bytes(DATA_VALUE, value)])])
}

pub(super) fn accept() -> DefaultNla {
    let verdict = nested(DATA_VERDICT, &[number(VERDICT_CODE, ACCEPT)]);
    expression("immediate", &[number(IMMEDIATE_DREG, REGISTER_VERDICT), nested(IMMEDIATE_DATA, &[verdict])])
}

/// `jump CHAIN`.
pub(super) fn jump(chain: &str) -> DefaultNla {
    let to = [number(VERDICT_CODE, JUMP.cast_unsigned()), text(VERDICT_CHAIN, chain)];
    let verdict = nested(DATA_VERDICT, &to);
    expression("immediate", &[number(IMMEDIATE_DREG, REGISTER_VERDICT), nested(IMMEDIATE_DATA, &[verdict])])
}

/// What every translation says: to the address in the first register.
fn translation(kind: u32, v4: bool) -> Vec<DefaultNla> {
    let family = if v4 { IPV4 } else { IPV6 };
    vec![number(NAT_TYPE, kind), number(NAT_FAMILY, family), number(NAT_ADDRESS, rule::REGISTER)]
}

/// `dnat to ADDRESS`, with a port where that is another.
pub(super) fn dnat(to: IpAddr, port: Option<u16>) -> Vec<DefaultNla> {
    let mut expressions = vec![load(rule::REGISTER, &octets(to))];
    let mut data = translation(DNAT, to.is_ipv4());
    if let Some(port) = port {
        expressions.push(load(SECOND_REGISTER, &port.to_be_bytes()));
        data.push(number(NAT_PORT, SECOND_REGISTER));
    }
    expressions.push(expression("nat", &data));
    expressions
}

/// `snat to ct original ip daddr`: behind the address that was asked.
pub(super) fn snat_to_asked(v4: bool) -> [DefaultNla; 2] {
    let key = if v4 { CT_DST_IP } else { CT_DST_IP6 };
    [conntrack(key, Some(Direction::Original)), expression("nat", &translation(SNAT, v4))]
}

/// `snat to ip saddr`: behind the source that it has.
pub(super) fn snat_to_source(v4: bool) -> [DefaultNla; 2] {
    [address(End::Source, v4), expression("nat", &translation(SNAT, v4))]
}

/// `snat to ADDRESS`, or to one of several, first and last: whoever sends keeps the one that he has (`persistent`).
pub(super) fn snat(first: IpAddr, last: IpAddr) -> Vec<DefaultNla> {
    let mut data = translation(SNAT, first.is_ipv4());
    let mut expressions = vec![load(rule::REGISTER, &octets(first))];
    if first != last {
        expressions.push(load(SECOND_REGISTER, &octets(last)));
        data.extend([number(NAT_LAST_ADDRESS, SECOND_REGISTER), number(NAT_FLAGS, PERSISTENT)]);
    }
    expressions.push(expression("nat", &data));
    expressions
}
