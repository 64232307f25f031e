//! What a rule is about.

use std::{fmt, net::IpAddr, str::FromStr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use fwd_base::text;

/// Which conversations a rule is about: `10.0.0.0/8:5432/tcp`, `192.0.2.7`, `any:1-1023`, `[2001:db8::/32]:443`, `10.0.0.0/8/icmp`. The address
/// is the other end's, the port that of whom the first packet is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Match {
    /// Addresses of the other end; all of both families if there are none.
    pub net: Option<IpNet>,
    /// First and last port; all of them if there are none.
    pub ports: Option<(u16, u16)>,
    /// IP protocol, 1 for that of ICMPv6 too. Without one, ports are those of TCP and UDP.
    pub proto: Option<u8>,
}

/// All addresses.
const ANY: &str = "any";

/// Names of protocols.
const NAMES: [(&str, u8); 4] = [("icmp", 1), ("tcp", 6), ("udp", 17), ("sctp", 132)];
/// ICMPv6, which rules know as the ICMP of IPv6.
const ICMPV6: (&str, u8) = ("icmpv6", 58);

impl Match {
    /// The networks that it is about: of [`ANY`] one of each family.
    #[must_use]
    pub fn nets(&self) -> Vec<IpNet> {
        self.net.map_or_else(|| vec![Ipv4Net::default().into(), Ipv6Net::default().into()], |net| vec![net])
    }
}

impl fmt::Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { net, ports, proto } = self;
        let net = match net {
            None => ANY.to_owned(),
            Some(net) if net.prefix_len() == net.max_prefix_len() => net.addr().to_string(),
            Some(net) => net.to_string(),
        };
        if ports.is_some() && net.contains(':') {
            write!(f, "[{net}]")?
        } else {
            write!(f, "{net}")?
        }
        match ports {
            Some((first, last)) if first == last => write!(f, ":{first}")?,
            Some((first, last)) => write!(f, ":{first}-{last}")?,
            None => {}
        }
        let Some(proto) = proto else { return Ok(()) };
        match NAMES.iter().find(|(_, number)| number == proto) {
            Some((name, _)) => write!(f, "/{name}"),
            None => write!(f, "/proto-{proto}"),
        }
    }
}

/// Reads `CIDR[:PORT[-PORT]][/PROTO]`; IPv6 with ports in brackets.
impl FromStr for Match {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (net, rest) = match text.strip_prefix('[') {
            Some(rest) => rest.split_once(']').ok_or_else(|| format!("{text:?} lacks a closing bracket"))?,
            None if text.matches(':').count() > 1 => without_ports(text),
            None => text.find(':').map_or_else(|| without_ports(text), |at| text.split_at(at)),
        };
        let (ports, proto) = match rest.strip_prefix(':') {
            Some(rest) => {
                let (ports, proto) = rest.split_once('/').map_or((rest, None), |(ports, proto)| (ports, Some(proto)));
                (Some(text::ports(ports)?), proto)
            }
            None if rest.is_empty() => (None, None),
            None => {
                (None, Some(rest.strip_prefix('/').ok_or_else(|| format!("{rest:?} is neither port nor protocol"))?))
            }
        };
        let proto = proto.map(number).transpose()?;
        if ports.is_some() && !matches!(proto, None | Some(6 | 17)) {
            return Err("ports are those of tcp or udp".into());
        }
        Ok(Self { net: if net == ANY { None } else { Some(prefix(net)?) }, ports, proto })
    }
}

/// Network and protocol: what follows the last slash is a length or a protocol.
fn without_ports(text: &str) -> (&str, &str) {
    match text.rfind('/') {
        Some(at) if text[at + 1..].parse::<u8>().is_err() => text.split_at(at),
        _ => (text, ""),
    }
}

fn prefix(text: &str) -> Result<IpNet, String> {
    let net = match text.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address),
        Err(_) => text.parse::<IpNet>().map_err(|_| format!("{text:?} is no address, network, or {ANY}"))?,
    };
    if net != net.trunc() {
        return Err(format!("{} lies inside of a network: {} is meant, or {}", net.addr(), net.trunc(), net.addr()));
    }
    match net {
        IpNet::V6(net) if net.prefix_len() >= 96 && net.addr().to_ipv4_mapped().is_some() => {
            Err(format!("{net} stands for IPv4: write it as such"))
        }
        net => Ok(net),
    }
}

fn number(name: &str) -> Result<u8, String> {
    let (icmpv6, of_icmpv6) = ICMPV6;
    if name == icmpv6 {
        return number("icmp");
    }
    let known = NAMES.iter().find(|(known, _)| *known == name).map(|(_, number)| *number);
    let given = || name.strip_prefix("proto-")?.parse().ok().filter(|number| *number != 0 && *number != of_icmpv6);
    known
        .or_else(given)
        .ok_or_else(|| format!("{name:?} is none of tcp, udp, icmp (of both families), sctp, proto-NUMBER"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rule;

    #[test]
    fn rules_are_read_as_they_are_written() {
        for text in [
            "deny-out 0.0.0.0/0:25/tcp",
            "allow-out 10.0.0.0/8",
            "allow-in 192.0.2.7:8000-8009",
            "deny-in 192.0.2.0/24/icmp",
            "allow-out 192.0.2.7:53/udp",
            "deny-out 10.0.0.0/8/proto-47",
            "deny-out any",
            "deny-out any:25",
            "allow-in any/icmp",
            "allow-out 2001:db8::/32",
            "allow-out 2001:db8::1/udp",
            "allow-out ::/0/icmp",
            "allow-out [2001:db8::1]:443",
            "deny-in [2001:db8::/32]:1-1023/tcp",
        ] {
            let rule = Rule::try_from(text.to_owned()).unwrap_or_else(|why| panic!("{text}: {why}"));
            assert_eq!(rule.to_string(), text);
        }
        for (text, written) in [
            ("192.0.2.7/32", "192.0.2.7"),
            ("[2001:db8::]", "2001:db8::"),
            ("[fd00::/8]/icmpv6", "fd00::/8/icmp"),
            ("2001:db8::1/128", "2001:db8::1"),
        ] {
            assert_eq!(text.parse::<Match>().expect(text).to_string(), written);
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_the_reason() {
        let refused = [
            ("10.0.0.1/8", "10.0.0.0/8"),
            ("10.0.0.0/33", "10.0.0.0/33"),
            ("10.0.0.0/8:0", "1 to 65535"),
            ("10.0.0.0/8:9-8", "ends before"),
            ("10.0.0.0/8:80/icmp", "tcp or udp"),
            ("10.0.0.0/8/foo", "foo"),
            ("10.0.0.0/8/proto-0", "proto-0"),
            ("10.0.0.0/8/proto-58", "both families"),
            ("2001:db8::1/32", "2001:db8::/32"),
            ("[2001:db8::1:443", "bracket"),
            ("[2001:db8::1]443", "neither port"),
            ("::ffff:10.0.0.0/104", "IPv4"),
            ("", "no address"),
        ];
        for (text, why) in refused {
            let said = text.parse::<Match>().expect_err(text);
            assert!(said.contains(why), "{text}: {said}");
        }
    }
}
