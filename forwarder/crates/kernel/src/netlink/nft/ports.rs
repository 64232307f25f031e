//! Published ports on the data path `kernel`: destination NAT in the same table.
//!
//! Each publication has its rules in four chains. `prerouting` and `output` lead what is for an address of the host to the endpoint;
//! `forward` lets it in, before [`isolation`](super::isolation) keeps out what nobody has asked for; `postrouting` gives a packet that
//! goes back into its own network the address that was asked, so that the answer comes by here (RFC 4787 REQ-9a). Their comment is
//! `NETWORK SOCKET/PROTOCOL`. What is for the loopback is left alone: without `route_localnet` it cannot be led elsewhere.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use rtnetlink::packet_core::DefaultNla;

use super::{
    CHAIN, CHAIN_HOOK, CHAIN_NAME, CHAIN_POLICY, CHAIN_TABLE, CHAIN_TYPE, Failure, HOOK_NUMBER, HOOK_PRIORITY, Message,
    NAME_MAX, Socket, TABLE, checked,
    isolation::{self, FORWARD},
    message::{self, bytes, nested, number, text},
    new_chain, new_table, or_nothing,
    rule::{self, Rule, expression},
    rules, unsupported,
};
use fwd_base::{Error, Kind, Result};

const PREROUTING: &str = "prerouting";
const OUTPUT: &str = "output";
/// `NF_INET_PRE_ROUTING` and `NF_INET_LOCAL_OUT`.
const HOOKS: [(&str, u32); 2] = [(PREROUTING, 0), (OUTPUT, 3)];
/// Priority `dstnat` (`NF_IP_PRI_NAT_DST`).
const PRIORITY_DSTNAT: i32 = -100;

/// Ports of the host that lead to an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortRules {
    /// Name of the network.
    pub network: String,
    /// Its bridge.
    pub bridge: String,
    /// Its addresses.
    pub subnet: Ipv4Net,
    /// The endpoint's address.
    pub address: Ipv4Addr,
    /// Address of the host; all of them if there is none.
    pub host: Option<Ipv4Addr>,
    /// IP protocol, and its name.
    pub proto: (u8, &'static str),
    /// First port of the host.
    pub first: u16,
    /// Last port of the host.
    pub last: u16,
    /// Port inside that the first leads to: the same where there are several.
    pub inside: u16,
    /// Who may use them; empty: all.
    pub senders: Vec<Ipv4Net>,
}

impl PortRules {
    /// The comment of the rules: `NETWORK SOCKET/PROTOCOL`.
    #[must_use]
    pub fn comment(&self) -> String {
        let Self { network, host, proto: (_, proto), first, .. } = self;
        let host = host.map_or_else(|| "*".into(), |host| host.to_string());
        format!("{network} {host}:{first}/{proto}")
    }

    /// The rules, each with its chain, as nft(8) has them.
    #[must_use]
    pub fn rules(&self) -> Vec<(&'static str, String)> {
        let Self { bridge, subnet, address, host, proto: (_, proto), first, last, inside, senders, .. } = self;
        let range = if first == last { first.to_string() } else { format!("{first}-{last}") };
        let to = host
            .map_or_else(|| "ip daddr != 127.0.0.0/8 fib daddr type local".into(), |host| format!("ip daddr {host}"));
        let port = if inside == first { String::new() } else { format!(":{inside}") };
        let lead = format!("{to} {proto} dport {range} dnat to {address}{port}");
        let from: Vec<String> = senders.iter().map(|sender| format!("ip saddr {sender} {lead}")).collect();
        let mut rules: Vec<_> = from.into_iter().map(|rule| (PREROUTING, rule)).collect();
        if senders.is_empty() {
            rules.push((PREROUTING, lead.clone()));
        }
        rules.push((OUTPUT, lead));
        let led = format!("oifname \"{bridge}\" ip daddr {address} meta l4proto {proto} ct status dnat");
        rules.push((FORWARD, format!("{led} ct original proto-dst {range} accept")));
        rules.push((
            CHAIN,
            format!("ip saddr {subnet} {led} ct original proto-dst {range} snat to ct original ip daddr"),
        ));
        rules
    }

    /// The same as expressions.
    fn expressions(&self) -> Vec<(&'static str, Vec<DefaultNla>)> {
        let Self { bridge, subnet, address, proto: (proto, _), first, last, senders, .. } = self;
        let lead = || {
            [
                self.destination(),
                vec![l4proto(), equal(&[*proto])],
                ports(destination_port(), *first, *last),
                self.dnat(),
            ]
            .concat()
        };
        let mut rules: Vec<_> =
            senders.iter().map(|sender| (PREROUTING, [of_prefix(SOURCE, *sender), lead()].concat())).collect();
        if senders.is_empty() {
            rules.push((PREROUTING, lead()));
        }
        rules.push((OUTPUT, lead()));
        let led = || {
            let to = of_prefix(DESTINATION, Ipv4Net::from(*address));
            let bridge = vec![rule::name_of(rule::OIFNAME), equal(&rule::padded(bridge))];
            let asked = ports(vec![conntrack(CT_PROTO_DST, Some(ORIGINAL))], *first, *last);
            [bridge, to, vec![l4proto(), equal(&[*proto])], translated(), asked].concat()
        };
        rules.push((FORWARD, [led(), vec![accept()]].concat()));
        rules.push((CHAIN, [of_prefix(SOURCE, *subnet), led(), snat()].concat()));
        rules
    }

    /// The destination is the host's.
    fn destination(&self) -> Vec<DefaultNla> {
        match self.host {
            Some(host) => of_prefix(DESTINATION, Ipv4Net::from(host)),
            None => vec![
                rule::of_network_header(DESTINATION, 4),
                expression("bitwise", &rule::masked(&[255, 0, 0, 0])),
                expression("cmp", &rule::compared(rule::DIFFERENT, &[127, 0, 0, 0])),
                expression(
                    "fib",
                    &[
                        number(FIB_DREG, rule::REGISTER),
                        number(FIB_RESULT, ADDRESS_TYPE),
                        number(FIB_FLAGS, OF_DESTINATION),
                    ],
                ),
                equal(&LOCAL.to_ne_bytes()),
            ],
        }
    }

    /// `dnat to ADDRESS`, with a port where that is another.
    fn dnat(&self) -> Vec<DefaultNla> {
        let mut expressions = vec![load(rule::REGISTER, &self.address.octets())];
        let mut data = vec![number(NAT_TYPE, DNAT), number(NAT_FAMILY, IPV4), number(NAT_ADDRESS, rule::REGISTER)];
        if self.inside != self.first {
            expressions.push(load(SECOND_REGISTER, &self.inside.to_be_bytes()));
            data.push(number(NAT_PORT, SECOND_REGISTER));
        }
        expressions.push(expression("nat", &data));
        expressions
    }
}

/// Makes the rules of a publication what is given, in place of those that it has.
///
/// # Errors
/// [`Kind::Unsupported`] where the kernel has no nf_tables with NAT and fib, or without root.
pub fn ensure_port_rules(wanted: &PortRules) -> Result<()> {
    let (comment, object) = (wanted.comment(), format!("nftables rules of port {}", wanted.comment()));
    checked(&comment, &wanted.bridge, &object)?;
    if wanted.first != wanted.last && wanted.first != wanted.inside {
        let why = "the kernel's NAT has no offset between ranges of ports";
        return Err(Error::new(Kind::Unsupported, "set", object, why).remedy("give the ports inside the same numbers"));
    }
    let change = || -> Result<(), Failure> {
        let socket = Socket::open()?;
        let mut batch = vec![new_table(), new_chain(), isolation::chain()];
        batch.extend(HOOKS.map(|(name, hook)| chain(name, hook)));
        batch.extend(rules(&socket)?.iter().filter(|rule| rule.is_of(&comment)).map(Rule::deletion));
        // Before what keeps others out.
        let additions = wanted.expressions();
        batch.extend(additions.iter().rev().map(|(chain, it)| rule::addition(chain, &comment, it).first()));
        socket.commit(&batch)
    };
    change().map_err(|failure| unsupported(failure, "set", object))
}

/// Removes the rules with this comment, and the table if no others are in it. False: there were none.
///
/// # Errors
/// The kernel refuses.
pub fn remove_port_rules(comment: &str) -> Result<bool> {
    super::delete_rules(|rule| rule.is_of(comment), format!("nftables rules of port {comment}"))
}

/// The comments of the rules of published ports, each once.
///
/// # Errors
/// The kernel refuses. A kernel without nf_tables has none.
pub fn port_rules() -> Result<Vec<String>> {
    let found = Socket::open().and_then(|socket| rules(&socket));
    let found = or_nothing(found).map_err(|failure| failure.doing("list", format!("nftables table ip {TABLE}")))?;
    let of_ports = found.into_iter().filter(Rule::is_of_any_port);
    let mut comments: Vec<String> = of_ports.filter_map(|rule| rule.comment).collect();
    comments.sort();
    comments.dedup();
    Ok(comments)
}

/// Longest name of a network whose ports are published, beside what else is in a comment, bytes.
pub const PORT_NAME_MAX: usize = NAME_MAX - " 255.255.255.255:65535/tcp".len();

fn chain(name: &str, hook: u32) -> Message {
    let hook = vec![number(HOOK_NUMBER, hook), number(HOOK_PRIORITY, PRIORITY_DSTNAT.cast_unsigned())];
    Message::new_chain(vec![
        text(CHAIN_TABLE, TABLE),
        text(CHAIN_NAME, name),
        text(CHAIN_TYPE, "nat"),
        number(CHAIN_POLICY, 1),
        message::nested(CHAIN_HOOK, &hook),
    ])
}

// Of addresses in an IPv4 header, bytes.
const SOURCE: u32 = 12;
const DESTINATION: u32 = 16;
// Attributes of include/uapi/linux/netfilter/nf_tables.h: NFTA_FIB_*, NFTA_NAT_*, NFTA_RANGE_*, NFTA_CT_*, NFTA_PAYLOAD_*, NFTA_META_*,
// NFTA_IMMEDIATE_*, NFTA_DATA_*, NFTA_VERDICT_*.
const FIB_DREG: u16 = 1;
const FIB_RESULT: u16 = 2;
const FIB_FLAGS: u16 = 3;
const NAT_TYPE: u16 = 1;
const NAT_FAMILY: u16 = 2;
const NAT_ADDRESS: u16 = 3;
const NAT_PORT: u16 = 5;
const RANGE_SREG: u16 = 1;
const RANGE_OP: u16 = 2;
const RANGE_FROM: u16 = 3;
const RANGE_TO: u16 = 4;
const CT_DREG: u16 = 1;
const CT_KEY: u16 = 2;
const CT_DIRECTION: u16 = 3;
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
/// `NFT_FIB_RESULT_ADDRTYPE`, `NFTA_FIB_F_DADDR`, and `RTN_LOCAL` in host byte order.
const ADDRESS_TYPE: u32 = 3;
const OF_DESTINATION: u32 = 1 << 1;
const LOCAL: u32 = 2;
/// `NFT_NAT_SNAT`, `NFT_NAT_DNAT`, `NFPROTO_IPV4`.
const SNAT: u32 = 0;
const DNAT: u32 = 1;
const IPV4: u32 = 2;
/// `NFT_REG_2`.
const SECOND_REGISTER: u32 = 2;
/// `NFT_PAYLOAD_TRANSPORT_HEADER`, and where the destination port is in it.
const TRANSPORT_HEADER: u32 = 2;
const PORT_OFFSET: u32 = 2;
/// `NFT_META_L4PROTO`.
const L4PROTO: u32 = 16;
/// `NFT_CT_STATUS`, `NFT_CT_PROTO_DST`, `NFT_CT_DST_IP`; `IP_CT_DIR_ORIGINAL`; `IPS_DST_NAT` in host byte order.
const CT_STATUS: u32 = 2;
const CT_PROTO_DST: u32 = 12;
const CT_DST_IP: u32 = 20;
const ORIGINAL: u8 = 0;
const DST_NAT: u32 = 1 << 5;
/// `NF_ACCEPT`, `NFT_REG_VERDICT`.
const ACCEPT: u32 = 1;
const REGISTER_VERDICT: u32 = 0;

fn equal(value: &[u8]) -> DefaultNla {
    expression("cmp", &rule::compared(rule::EQUAL, value))
}

/// An address of the header lies in a prefix.
fn of_prefix(offset: u32, prefix: Ipv4Net) -> Vec<DefaultNla> {
    let mut expressions = vec![rule::of_network_header(offset, 4)];
    if prefix.prefix_len() < 32 {
        expressions.push(expression("bitwise", &rule::masked(&prefix.netmask().octets())));
    }
    expressions.push(equal(&prefix.network().octets()));
    expressions
}

fn l4proto() -> DefaultNla {
    expression("meta", &[number(META_KEY, L4PROTO), number(META_DREG, rule::REGISTER)])
}

fn destination_port() -> Vec<DefaultNla> {
    vec![expression(
        "payload",
        &[
            number(PAYLOAD_DREG, rule::REGISTER),
            number(PAYLOAD_BASE, TRANSPORT_HEADER),
            number(PAYLOAD_OFFSET, PORT_OFFSET),
            number(PAYLOAD_LEN, 2),
        ],
    )]
}

/// What was loaded is one of these ports.
fn ports(mut loaded: Vec<DefaultNla>, first: u16, last: u16) -> Vec<DefaultNla> {
    let [first, last] = [first, last].map(u16::to_be_bytes);
    loaded.push(if first == last {
        equal(&first)
    } else {
        expression(
            "range",
            &[
                number(RANGE_SREG, rule::REGISTER),
                number(RANGE_OP, rule::EQUAL),
                nested(RANGE_FROM, &[bytes(DATA_VALUE, &first)]),
                nested(RANGE_TO, &[bytes(DATA_VALUE, &last)]),
            ],
        )
    });
    loaded
}

fn conntrack(key: u32, direction: Option<u8>) -> DefaultNla {
    let mut data = vec![number(CT_KEY, key), number(CT_DREG, rule::REGISTER)];
    data.extend(direction.map(|direction| bytes(CT_DIRECTION, &[direction])));
    expression("ct", &data)
}

/// `ct status dnat`.
fn translated() -> Vec<DefaultNla> {
    vec![
        conntrack(CT_STATUS, None),
        expression("bitwise", &rule::masked(&DST_NAT.to_ne_bytes())),
        expression("cmp", &rule::compared(rule::DIFFERENT, &[0; 4])),
    ]
}

fn load(register: u32, value: &[u8]) -> DefaultNla {
    expression("immediate", &[number(IMMEDIATE_DREG, register), nested(IMMEDIATE_DATA, &[bytes(DATA_VALUE, value)])])
}

fn accept() -> DefaultNla {
    let verdict = nested(DATA_VERDICT, &[number(VERDICT_CODE, ACCEPT)]);
    expression("immediate", &[number(IMMEDIATE_DREG, REGISTER_VERDICT), nested(IMMEDIATE_DATA, &[verdict])])
}

/// `snat to ct original ip daddr`.
fn snat() -> Vec<DefaultNla> {
    vec![
        conntrack(CT_DST_IP, Some(ORIGINAL)),
        expression("nat", &[number(NAT_TYPE, SNAT), number(NAT_FAMILY, IPV4), number(NAT_ADDRESS, rule::REGISTER)]),
    ]
}
