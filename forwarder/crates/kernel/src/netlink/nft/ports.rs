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
    expressions::{
        End, accept, address, asked_port, destination_port, different, dnat, equal, is_local, l4proto, of_prefix,
        ports, snat_to_asked, translated,
    },
    isolation::{self, FORWARD},
    message::{self, number, text},
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
        let Self { bridge, subnet, address, proto: (proto, _), first, last, inside, senders, .. } = self;
        let port = Some(*inside).filter(|inside| inside != first);
        let of_proto = || [l4proto(), equal(&[*proto])];
        let lead = || {
            let mut lead = self.destination();
            lead.extend(of_proto());
            lead.extend(ports(destination_port(), *first, *last));
            lead.extend(dnat((*address).into(), port));
            lead
        };
        let from = |sender: &Ipv4Net| of_prefix(End::Source, (*sender).into());
        let mut rules: Vec<_> = senders.iter().map(|sender| (PREROUTING, [from(sender), lead()].concat())).collect();
        if senders.is_empty() {
            rules.push((PREROUTING, lead()));
        }
        rules.push((OUTPUT, lead()));
        let led = || {
            let mut led = vec![rule::name_of(rule::OIFNAME), equal(&rule::padded(bridge))];
            led.extend(of_prefix(End::Destination, Ipv4Net::from(*address).into()));
            led.extend(of_proto());
            led.extend(translated());
            led.extend(ports(asked_port(), *first, *last));
            led
        };
        rules.push((FORWARD, [led(), vec![accept()]].concat()));
        rules.push((CHAIN, [from(subnet), led(), snat_to_asked(true).to_vec()].concat()));
        rules
    }

    /// The destination is the host's.
    fn destination(&self) -> Vec<DefaultNla> {
        if let Some(host) = self.host {
            return of_prefix(End::Destination, Ipv4Net::from(host).into());
        }
        let mut others = vec![
            address(End::Destination, true),
            expression("bitwise", &rule::masked(&[255, 0, 0, 0])),
            different(&[127, 0, 0, 0]),
        ];
        others.extend(is_local(End::Destination, true));
        others
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
