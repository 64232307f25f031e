//! Published ports: what they are called, and their entries in the maps.

mod host_addresses;
mod prefixes;
mod records;
mod senders;

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use forwarder_common::wire::l4::Proto;
use serde::{Deserialize, Serialize};

pub use self::{records::Publication, senders::Senders};
use fwd_base::text;

/// A protocol whose ports can be published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Transport {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Tcp, Self::Udp];

    /// `tcp` or `udp`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }

    /// Its number in IP headers.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Tcp => Proto::Tcp as u8,
            Self::Udp => Proto::Udp as u8,
        }
    }
}

/// Ports of the host that lead to as many ports of an endpoint, in the same order. As text: `8080:80/tcp`,
/// `192.0.2.7:8000-8009:80-89/udp`, `[2001:db8::7]:443:443/tcp`, `22:22/tcp from 192.0.2.0/24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublishedPorts {
    /// Address of the host; that of nobody (`0.0.0.0`, `::`) for all of its family, none for all of both.
    pub host: Option<IpAddr>,
    /// First port of the host.
    pub first: u16,
    /// Last port of the host.
    pub last: u16,
    /// Port inside that the first leads to.
    pub inside: u16,
    /// Protocol.
    pub transport: Transport,
    /// Who may use them.
    pub senders: Senders,
}

impl PublishedPorts {
    /// The same ports for all.
    #[must_use]
    pub fn for_all(self) -> Self {
        Self { senders: Senders::default(), ..self }
    }

    /// Whether a port of the host would be published by both.
    #[must_use]
    pub fn overlap(&self, other: &Self) -> bool {
        let host = match (self.host, other.host) {
            (Some(one), Some(other)) => {
                let all = one.is_unspecified() || other.is_unspecified();
                one.is_ipv4() == other.is_ipv4() && (all || one == other)
            }
            (None, _) | (_, None) => true,
        };
        host && self.transport == other.transport && self.first <= other.last && other.first <= self.last
    }

    /// Whether they are published at addresses of IPv4 (`v4`) or IPv6.
    #[must_use]
    pub fn are_of(&self, v4: bool) -> bool {
        self.host.is_none_or(|host| host.is_ipv4() == v4)
    }

    /// Whether they are published for programs of the host alone: at an address of the loopback.
    #[must_use]
    pub fn is_for_host_alone(&self) -> bool {
        self.host.is_some_and(|host| host.is_loopback())
    }

    /// Whether a socket of the host that is bound to `address` (all of them if it is unspecified) and `port` has one of these ports.
    ///
    /// One at another address of the loopback than 127.0.0.1 has none of those that are published at all addresses: a resolver at
    /// 127.0.0.53, which nobody means by `localhost`, and which the host's own programs go on asking.
    #[must_use]
    pub fn has(&self, transport: Transport, address: IpAddr, port: u16) -> bool {
        let apart = address.is_loopback() && address != Ipv4Addr::LOCALHOST && address != Ipv6Addr::LOCALHOST;
        let at_all = self.host.is_none_or(|host| host.is_unspecified()) && !apart;
        let host = at_all || self.host == Some(address) || address.is_unspecified();
        self.are_of(address.is_ipv4())
            && host
            && self.transport == transport
            && (self.first..=self.last).contains(&port)
    }

    /// Last port inside.
    #[must_use]
    pub const fn inside_last(&self) -> u16 {
        self.inside + (self.last - self.first)
    }
}

impl fmt::Display for PublishedPorts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, first, last, inside, transport, senders } = self;
        match host {
            Some(IpAddr::V4(host)) => write!(f, "{host}:")?,
            Some(IpAddr::V6(host)) => write!(f, "[{host}]:")?,
            None => {}
        }
        let name = transport.name();
        if first == last {
            write!(f, "{first}:{inside}/{name}")?;
        } else {
            write!(f, "{first}-{last}:{inside}-{}/{name}", self.inside_last())?;
        }
        if senders.are_all() { Ok(()) } else { write!(f, "{FROM}{senders}") }
    }
}

impl From<PublishedPorts> for String {
    fn from(ports: PublishedPorts) -> Self {
        ports.to_string()
    }
}

impl TryFrom<String> for PublishedPorts {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// Between ports and those who may use them.
const FROM: &str = " from ";

/// Reads `[HOSTIP:]HPORT[-HEND]:PORT[-END][/tcp|udp]`, and behind it ` from PREFIX,…`.
impl FromStr for PublishedPorts {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (text, senders) = match text.split_once(FROM) {
            Some((text, senders)) => (text, senders.parse()?),
            None => (text, Senders::default()),
        };
        let (sockets, name) = text.split_once('/').unwrap_or((text, Transport::Tcp.name()));
        let transport = Transport::ALL.into_iter().find(|transport| transport.name() == name);
        let transport = transport.ok_or_else(|| format!("{name:?} is neither tcp nor udp"))?;
        let (host6, sockets) = match sockets.strip_prefix('[').map(|rest| rest.split_once("]:")) {
            Some(Some((host, sockets))) => (Some(host), sockets),
            Some(None) => return Err("no `]:` ends its address of IPv6".into()),
            None => (None, sockets),
        };
        let parts: Vec<&str> = sockets.split(':').collect();
        let (host, outside, inside) = match parts[..] {
            [outside, inside] => (None, outside, inside),
            [host, outside, inside] if host6.is_none() => (Some(host), outside, inside),
            [_] => return Err("the port of the host is missing".into()),
            [_, _, _, _, ..] if host6.is_none() => {
                return Err("it has too many parts (an address of IPv6 stands in brackets: [::1]:8080:80)".into());
            }
            _ => return Err("it has too many parts".into()),
        };
        let host =
            host.map(|host| host.parse::<Ipv4Addr>().map(IpAddr::from).map_err(|error| format!("{host:?}: {error}")));
        let host6 =
            host6.map(|host| host.parse::<Ipv6Addr>().map(IpAddr::from).map_err(|error| format!("{host:?}: {error}")));
        let host = host.or(host6).transpose()?;
        if let Some(IpAddr::V6(host)) = host
            && let Some(v4) = host.to_ipv4_mapped()
        {
            return Err(format!("[{host}] is an address of IPv4: write {v4}"));
        }
        let ((first, last), (inside, end)) = (text::ports(outside)?, text::ports(inside)?);
        if last - first != end - inside {
            let (outside, inside) = (u32::from(last - first) + 1, u32::from(end - inside) + 1);
            return Err(format!("{outside} ports of the host cannot lead to {inside} inside"));
        }
        Ok(Self { host, first, last, inside, transport, senders })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports(text: &str) -> PublishedPorts {
        text.parse().unwrap_or_else(|why| panic!("{text}: {why}"))
    }

    #[test]
    fn ports_are_read_as_they_are_written() {
        for text in [
            "8080:80/tcp",
            "53:5353/udp",
            "192.0.2.7:443:8443/tcp",
            "8000-8009:80-89/tcp",
            "1-65535:1-65535/udp",
            "[2001:db8::7]:443:8443/tcp",
            "[::1]:8000-8009:80-89/udp",
            "0.0.0.0:80:80/tcp",
            "[::]:80:80/tcp",
            "22:22/tcp from 10.0.0.0/8,192.0.2.7/32",
        ] {
            assert_eq!(ports(text).to_string(), text);
        }
        assert_eq!(ports("8080:80"), ports("8080:80/tcp"), "what is left out is the usual");
        assert!(ports("8080:80").are_of(true) && ports("8080:80").are_of(false));
        assert!(ports("0.0.0.0:8080:80").are_of(true) && !ports("0.0.0.0:8080:80").are_of(false));
        let json = serde_json::to_string(&ports("8080:80")).expect("text");
        assert_eq!(json, "\"8080:80/tcp\"");
        assert_eq!(serde_json::from_str::<PublishedPorts>(&json).expect("ports"), ports("8080:80"));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_the_reason() {
        let refused = [
            ("80", "missing"),
            ("a:80", "no port"),
            ("0:80", "1 to 65535"),
            ("80:65536", "1 to 65535"),
            ("80:80/sctp", "sctp"),
            ("90-80:80-90", "ends before"),
            ("80-89:80-88", "10 ports"),
            ("80-89:80", "10 ports"),
            ("[::1:80:80", "`]:`"),
            ("[::g]:80:80", "::g"),
            ("[::1]:80", "missing"),
            ("[::1]:80:80:80", "too many"),
            ("::1:80:80", "brackets"),
            ("[::ffff:192.0.2.7]:80:80", "write 192.0.2.7"),
            ("80:80 from here", "no prefix"),
            ("192.0.2:80:80", "192.0.2"),
            ("1.2.3.4:80:80:80", "too many"),
            ("", "missing"),
        ];
        for (text, why) in refused {
            let said = text.parse::<PublishedPorts>().expect_err(text);
            assert!(said.contains(why), "{text}: {said}");
        }
    }

    #[test]
    fn ports_overlap_where_a_packet_would_be_for_both() {
        let both = [
            ("80:80", "80:81"),
            ("80:80", "192.0.2.7:80:80"),
            ("80:80", "[2001:db8::7]:80:80"),
            ("0.0.0.0:80:80", "192.0.2.7:80:80"),
            ("[::]:80:80", "[2001:db8::7]:80:80"),
            ("80-90:80-90", "90:1"),
            ("85:1", "80-90:80-90"),
        ];
        for (one, other) in both {
            assert!(ports(one).overlap(&ports(other)) && ports(other).overlap(&ports(one)), "{one} {other}");
        }
        let apart = [
            ("80:80", "81:80"),
            ("80:80", "80:80/udp"),
            ("192.0.2.8:80:80", "192.0.2.7:80:80"),
            ("0.0.0.0:80:80", "[::]:80:80"),
            ("[2001:db8::7]:80:80", "0.0.0.0:80:80"),
            ("[2001:db8::7]:80:80", "[2001:db8::8]:80:80"),
            ("80-90:80-90", "91:1"),
        ];
        for (one, other) in apart {
            assert!(!ports(one).overlap(&ports(other)), "{one} {other}");
        }
    }

    #[test]
    fn socket_of_the_host_has_a_port_where_it_would_get_the_packets() {
        let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let any6 = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        let at = |address: &str| address.parse::<IpAddr>().expect("an address");
        assert!(ports("80-90:80-90").has(Transport::Tcp, any, 85));
        assert!(ports("192.0.2.7:80:80").has(Transport::Tcp, any, 80));
        assert!(ports("80:80").has(Transport::Tcp, at("192.0.2.7"), 80));
        assert!(!ports("192.0.2.7:80:80").has(Transport::Tcp, at("127.0.0.1"), 80));
        assert!(!ports("80:80").has(Transport::Tcp, at("127.0.0.53"), 80));
        for address in ["2001:db8::7", "::1"] {
            assert!(
                ports("80:80").has(Transport::Tcp, at(address), 80)
                    && ports("[::]:80:80").has(Transport::Tcp, at(address), 80)
            );
            assert!(!ports("0.0.0.0:80:80").has(Transport::Tcp, at(address), 80));
        }
        assert!(
            ports("[::1]:80:80").has(Transport::Tcp, any6, 80) && !ports("[::1]:80:80").has(Transport::Tcp, any, 80)
        );
        assert!(!ports("80:80").has(Transport::Udp, any, 80) && !ports("80:80").has(Transport::Tcp, any, 81));
    }
}
