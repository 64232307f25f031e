//! `--flow`: a tuple of which any part may be left open.

use std::{
    net::{IpAddr, Ipv6Addr},
    str::FromStr,
};

use super::packet::Tuple;
use crate::protocol;

/// A flow: `tcp 10.77.0.2:1234 > 203.0.113.1:443` or `udp [2001:db8::1]:53`, in either direction; every part may be `*` or missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlowPattern {
    /// IP protocol.
    pub proto: Option<u8>,
    /// One end.
    pub from: Side,
    /// The other end.
    pub to: Side,
}

/// An end of a flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Side {
    /// Its address.
    pub addr: Option<IpAddr>,
    /// Its port, or the identifier of an ICMP query.
    pub port: Option<u16>,
}

impl Side {
    fn matches(self, (addr, port): (IpAddr, u16)) -> bool {
        self.addr.is_none_or(|own| addr == own) && self.port.is_none_or(|own| port == own)
    }
}

impl FlowPattern {
    /// Whether these two speak with each other so, in either direction.
    #[must_use]
    pub fn matches(&self, (proto, src, dst): Tuple) -> bool {
        let Self { proto: own, from, to } = self;
        own.is_none_or(|own| own == proto)
            && (from.matches(src) && to.matches(dst) || from.matches(dst) && to.matches(src))
    }
}

impl FromStr for FlowPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (left, right) = text.split_once(['>', '→']).unwrap_or((text, "*"));
        let (left, right): (Vec<&str>, Vec<&str>) =
            (left.split_whitespace().collect(), right.split_whitespace().collect());
        let (proto, from) = match left[..] {
            [] => (None, "*"),
            [word] if is_proto(word) => (proto_of(word)?, "*"),
            [from] => (None, from),
            [proto, from] => (proto_of(proto)?, from),
            _ => return Err(no_flow(text)),
        };
        let to = match right[..] {
            [] => "*",
            [to] if !to.contains(['>', '→']) => to,
            _ => return Err(no_flow(text)),
        };
        Ok(Self { proto, from: side(from)?, to: side(to)? })
    }
}

fn no_flow(text: &str) -> String {
    format!("{text:?} is no flow; for example \"tcp 10.77.0.2:1234 > 203.0.113.1:443\"")
}

/// Whether a word that stands alone is a protocol, and no address.
fn is_proto(word: &str) -> bool {
    word != "*" && !word.contains(['.', ':'])
}

fn proto_of(word: &str) -> Result<Option<u8>, String> {
    if word == "*" {
        return Ok(None);
    }
    let word = if word.eq_ignore_ascii_case("icmpv6") { "icmp6" } else { word };
    let named = || (0..=u8::MAX).find(|number| protocol::name(*number) == word.to_lowercase());
    word.parse()
        .ok()
        .or_else(named)
        .map(Some)
        .ok_or_else(|| format!("{word:?} is no protocol: tcp, udp, icmp, icmp6, or a number from 0 to 255"))
}

/// `ADDRESS`, `ADDRESS:PORT`, `*:PORT`, `:PORT` or `*`; an address of IPv6 with a port in brackets (RFC 3986 §3.2.2), and alone without, too.
fn side(text: &str) -> Result<Side, String> {
    let wrong = |what: &str, part: &str| format!("{part:?} is no {what}");
    if let Ok(addr) = text.parse::<Ipv6Addr>() {
        return Ok(Side { addr: Some(addr.into()), port: None });
    }
    let (addr, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((addr, "")) => (addr, "*"),
        Some((addr, port)) => (addr, port.strip_prefix(':').ok_or_else(|| wrong("port", port))?),
        None => text.rsplit_once(':').unwrap_or((text, "*")),
    };
    Ok(Side {
        addr: match addr {
            "*" | "" => None,
            addr => Some(addr.parse().map_err(|_| wrong("address", addr))?),
        },
        port: match port {
            "*" => None,
            port => Some(port.parse().map_err(|_| wrong("port", port))?),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const INSIDE: ([u8; 4], u16) = ([10, 77, 0, 2], 1234);
    const OUTSIDE: ([u8; 4], u16) = ([203, 0, 113, 1], 443);

    fn tuple(proto: u8, src: ([u8; 4], u16), dst: ([u8; 4], u16)) -> Tuple {
        (proto, (src.0.into(), src.1), (dst.0.into(), dst.1))
    }

    #[track_caller]
    fn takes(text: &str, tuple: Tuple) -> bool {
        text.parse::<FlowPattern>().unwrap_or_else(|error| panic!("{text}: {error}")).matches(tuple)
    }

    #[test]
    fn any_part_may_be_left_open() {
        for text in [
            "tcp 10.77.0.2:1234 > 203.0.113.1:443",
            "10.77.0.2:1234>203.0.113.1:443",
            "* 10.77.0.2:* > *:443",
            "TCP",
            "*",
            "tcp * > *",
            "203.0.113.1",
            "tcp :443",
            "> 203.0.113.1:443",
            "6 10.77.0.2 >",
            "10.77.0.2 → 203.0.113.1",
        ] {
            assert!(takes(text, tuple(6, INSIDE, OUTSIDE)), "{text}");
            assert!(takes(text, tuple(6, OUTSIDE, INSIDE)), "{text}, the other way");
        }
    }

    #[test]
    fn addresses_of_ipv6_have_ports_in_brackets() {
        let [inside, outside] =
            [("fd00::2", 1234), ("2001:db8::1", 443)].map(|(addr, port)| (addr.parse().expect("an address"), port));
        for text in [
            "tcp [fd00::2]:1234 > [2001:db8::1]:443",
            "fd00::2 > 2001:db8::1",
            "[2001:db8::1]",
            "tcp [fd00:0::2]:*",
            "*:443",
        ] {
            assert!(takes(text, (6, inside, outside)), "{text}");
            assert!(takes(text, (6, outside, inside)), "{text}, the other way");
        }
        for text in ["fd00::3", "[fd00::2]:443", "icmpv6", "10.77.0.2"] {
            assert!(!takes(text, (6, inside, outside)), "{text}");
        }
        assert!(takes("icmpv6", (58, inside, outside)) && takes("icmp6 fd00::2", (58, inside, outside)));
        for (text, part) in [("[fd00::2]443", "443"), ("[fd00::2:443", "fd00"), ("[10.77.0.x]:1", "10.77.0.x")] {
            let error = text.parse::<FlowPattern>().expect_err(text);
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn what_is_said_has_to_be_so() {
        for text in ["udp", "10.77.0.3", "tcp 10.77.0.2:443 > 203.0.113.1:1234", "*:80", "10.77.0.2 > *:1234"] {
            assert!(!takes(text, tuple(6, INSIDE, OUTSIDE)), "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused_and_named() {
        for (text, part) in [
            ("tcq", "tcq"),
            ("tcp 10.77.0.2:port", "port"),
            ("10.77.0", "10.77.0"),
            ("300", "300"),
            ("10.77.0.2 203.0.113.1", "10.77.0.2"),
            ("tcp 10.77.0.2 80", "for example"),
            ("10.77.0.2 > 203.0.113.1 443", "for example"),
            ("tcp 10.77.0.2 > 203.0.113.1 > 10.0.0.1", "for example"),
            ("10.77.0.2:70000", "70000"),
        ] {
            let error = text.parse::<FlowPattern>().expect_err(text);
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
