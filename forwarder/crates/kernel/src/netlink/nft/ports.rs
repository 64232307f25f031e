//! Published ports on the data path `kernel`: destination NAT in the same table.
//!
//! Each publication has its rules in four chains. `prerouting` and `output` lead what is for an address of the host to the endpoint, and
//! [`inside`](super::inward) does for namespaces, where others come by one uplink alone;
//! `forward` lets it in, before [`isolation`](super::isolation) keeps out what nobody has asked for; `postrouting` gives a packet that
//! goes back into its own network the address that was asked, so that the answer comes by here (RFC 4787 REQ-9a). Of IPv6 a fifth lets out
//! the answers, which go back by whatever uplink the question came. Their comment is `NETWORK SOCKET/PROTOCOL`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use rtnetlink::packet_core::DefaultNla;

use super::{
    CHAIN, Failure, NAME_MAX, Socket, TABLE, all_rules, checked, delete_rules,
    expressions::{
        End, accept, asked_port, destination_port, dnat, equal, is_local, is_reply, l4proto, not_of_prefix, of_prefix,
        ports, snat_to_asked, translated,
    },
    inward::{self, INSIDE, PREROUTING},
    isolation::{self, FORWARD},
    message::Family,
    new_chain, new_table,
    rule::{self, Rule},
    rules, unsupported,
};
use fwd_base::{Error, Kind, Result};

const OUTPUT: &str = "output";
/// `NF_INET_LOCAL_OUT`.
const HOOK_OUTPUT: u32 = 3;

/// Ports of the host that lead to an endpoint, of one family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortRules {
    /// Name of the network.
    pub network: String,
    /// Its bridge.
    pub bridge: String,
    /// Its addresses.
    pub subnet: IpNet,
    /// The endpoint's address.
    pub address: IpAddr,
    /// Address of the host; all of them if there is none.
    pub host: Option<IpAddr>,
    /// IP protocol, and its name.
    pub proto: (u8, &'static str),
    /// First port of the host.
    pub first: u16,
    /// Last port of the host.
    pub last: u16,
    /// Port inside that the first leads to: the same where there are several.
    pub inside: u16,
    /// Who may use them; empty: all.
    pub senders: Vec<IpNet>,
    /// Name of the uplink by which alone others come than the host and the namespaces of its networks; none: by any.
    pub uplink: Option<String>,
}

impl PortRules {
    /// The comment of the rules: `NETWORK SOCKET/PROTOCOL`; the socket is `*:PORT` or `[::]:PORT` where it is of all addresses.
    #[must_use]
    pub fn comment(&self) -> String {
        let Self { network, host, proto: (_, proto), first, .. } = self;
        let host = match (host, self.family()) {
            (Some(IpAddr::V4(host)), _) => host.to_string(),
            (Some(IpAddr::V6(host)), _) => format!("[{host}]"),
            (None, Family::V6) => "[::]".into(),
            (None, _) => "*".into(),
        };
        format!("{network} {host}:{first}/{proto}")
    }

    fn family(&self) -> Family {
        Family::of(self.address.is_ipv4())
    }

    /// The table that they are in, as nft(8) has it.
    #[must_use]
    pub fn table(&self) -> String {
        format!("{} {TABLE}", self.family().name())
    }

    /// Addresses that are the host's, and at which nothing is published: without `route_localnet` nothing leads away from the loopback,
    /// and a link-local address names the host on one link alone.
    fn excepted(&self) -> Vec<IpNet> {
        match self.family() {
            Family::V4 | Family::Bridge => vec![Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8).into()],
            Family::V6 => vec![
                Ipv6Net::from(Ipv6Addr::LOCALHOST).into(),
                Ipv6Net::new_assert(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10).into(),
            ],
        }
    }

    /// The rules, each with its chain, as nft(8) has them.
    #[must_use]
    pub fn rules(&self) -> Vec<(&'static str, String)> {
        let Self { network: _, bridge, subnet, address, host, proto, first, last, inside, senders, uplink } = self;
        let (_, proto) = proto;
        let ip = self.family().name();
        let range = if first == last { first.to_string() } else { format!("{first}-{last}") };
        let others = self.excepted().iter().map(|net| format!("{ip} daddr != {net} ")).collect::<String>();
        let to = host.map_or_else(|| format!("{others}fib daddr type local"), |host| format!("{ip} daddr {host}"));
        let inside = match (inside == first, address) {
            (true, address) => address.to_string(),
            (false, address) => SocketAddr::new(*address, *inside).to_string(),
        };
        let lead = format!("{to} {proto} dport {range} dnat to {inside}");
        let from: Vec<String> = senders.iter().map(|sender| format!("{ip} saddr {sender} ")).collect();
        let from = if from.is_empty() { vec![String::new()] } else { from };
        let mut rules = Vec::new();
        for from in from {
            let by = uplink.as_ref().map(|uplink| format!("iifname \"{uplink}\" ")).unwrap_or_default();
            rules.push((PREROUTING, format!("{by}{from}{lead}")));
            rules.extend(uplink.as_ref().map(|_| (INSIDE, format!("{from}{lead}"))));
        }
        rules.push((OUTPUT, lead));
        let led = format!("oifname \"{bridge}\" {ip} daddr {address} meta l4proto {proto} ct status dnat");
        let asked = format!("ct original proto-dst {range}");
        rules.push((FORWARD, format!("{led} {asked} accept")));
        if self.family() == Family::V6 {
            rules.push((
                FORWARD,
                format!("iifname \"{bridge}\" {ip} saddr {address} meta l4proto {proto} ct status dnat ct direction reply {asked} accept"),
            ));
        }
        rules.push((CHAIN, format!("{ip} saddr {subnet} {led} {asked} snat to ct original {ip} daddr")));
        rules
    }

    /// The same as expressions.
    fn expressions(&self) -> Vec<(&'static str, Vec<DefaultNla>)> {
        let Self { bridge, subnet, address, proto: (proto, _), first, last, inside, senders, uplink, .. } = self;
        let port = Some(*inside).filter(|inside| inside != first);
        let of_proto = || [l4proto(), equal(&[*proto])];
        let lead = || {
            let mut lead = self.destination();
            lead.extend(of_proto());
            lead.extend(ports(destination_port(), *first, *last));
            lead.extend(dnat(*address, port));
            lead
        };
        let from: Vec<_> = senders.iter().map(|sender| of_prefix(End::Source, *sender)).collect();
        let from = if from.is_empty() { vec![Vec::new()] } else { from };
        let mut rules = Vec::new();
        for from in from {
            let by = uplink.as_ref().map(|it| [rule::meta(rule::IIFNAME), equal(&rule::padded(it))].to_vec());
            rules.push((PREROUTING, [by.unwrap_or_default(), from.clone(), lead()].concat()));
            rules.extend(uplink.as_ref().map(|_| (INSIDE, [from, lead()].concat())));
        }
        rules.push((OUTPUT, lead()));
        let led = |bridge_is: u32, end| {
            let mut led = vec![rule::meta(bridge_is), equal(&rule::padded(bridge))];
            led.extend(of_prefix(end, (*address).into()));
            led.extend(of_proto());
            led.extend(translated());
            led
        };
        let asked = || ports(asked_port(), *first, *last);
        let into = || [led(rule::OIFNAME, End::Destination), asked().into()].concat();
        rules.push((FORWARD, [into(), vec![accept()]].concat()));
        // Before what keeps IPv6 to one uplink: they go back the way the question came.
        if self.family() == Family::V6 {
            let answers = [led(rule::IIFNAME, End::Source), is_reply().into(), asked().into(), vec![accept()]].concat();
            rules.push((FORWARD, answers));
        }
        let behind = snat_to_asked(self.family() == Family::V4).to_vec();
        rules.push((CHAIN, [of_prefix(End::Source, *subnet), into(), behind].concat()));
        rules
    }

    /// The destination is the host's.
    fn destination(&self) -> Vec<DefaultNla> {
        if let Some(host) = self.host {
            return of_prefix(End::Destination, host.into());
        }
        let excepted = self.excepted();
        let mut others: Vec<_> = excepted.into_iter().flat_map(|net| not_of_prefix(End::Destination, net)).collect();
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
    wanted.uplink.iter().try_for_each(|uplink| checked(&comment, uplink, &object))?;
    if wanted.first != wanted.last && wanted.first != wanted.inside {
        let why = "the kernel's NAT has no offset between ranges of ports";
        return Err(Error::new(Kind::Unsupported, "set", object, why).remedy("give the ports inside the same numbers"));
    }
    let change = || -> Result<(), Failure> {
        let (socket, family) = (Socket::open()?, wanted.family());
        let mut batch = vec![new_table(), new_chain(), isolation::chain(), inward::chain(OUTPUT, HOOK_OUTPUT)];
        batch.extend(inward::chains());
        batch.extend(rules(&socket, family)?.iter().filter(|rule| rule.is_of(&comment)).map(Rule::deletion));
        // Before what keeps others out.
        let additions = wanted.expressions();
        batch.extend(additions.iter().rev().map(|(chain, it)| rule::addition(chain, &comment, it).first()));
        socket.commit(&batch.into_iter().map(|message| message.of(family)).collect::<Vec<_>>())
    };
    change().map_err(|failure| unsupported(failure, "set", object))
}

/// Removes the rules of a publication, and the table if no others are in it. False: there were none.
///
/// # Errors
/// The kernel refuses.
pub fn remove_port_rules(rules: &PortRules) -> Result<bool> {
    let comment = rules.comment();
    delete_rules(rules.family(), |rule| rule.is_of(&comment), format!("nftables rules of port {comment}"))
}

/// The comments of the rules of published ports, of IPv4 or of IPv6, each once.
///
/// # Errors
/// The kernel refuses. A kernel without nf_tables has none.
pub fn port_rules(v4: bool) -> Result<Vec<String>> {
    let of_ports = all_rules(Family::of(v4))?.into_iter().filter(Rule::is_of_any_port);
    let mut comments: Vec<String> = of_ports.filter_map(|rule| rule.comment).collect();
    comments.sort();
    comments.dedup();
    Ok(comments)
}

/// Longest name of a network whose ports are published, beside what else is in a comment, bytes.
pub const PORT_NAME_MAX: usize = NAME_MAX - " [ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535/tcp".len();
