//! IPv4 packets as they were captured: their fields, and whether every checksum in them is right.

use std::{fmt, net::Ipv4Addr};

use forwarder_common::{types::checksum, wire::icmp};

/// Protocols by number.
pub(crate) const ICMP: u8 = 1;
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;

/// An IPv4 packet, or the beginning of one that an ICMP error embeds.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Packet {
    /// From the IPv4 header on; without what pads a short frame.
    pub(crate) bytes: Vec<u8>,
    /// Bytes from which the packet was taken: fewer than its total length if it is cut.
    here: usize,
}

impl fmt::Debug for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ports, flags) = (self.ports(), self.tcp_flags());
        write!(f, "{} > {} proto {} ttl {}", self.source(), self.destination(), self.proto(), self.ttl())?;
        write!(f, " length {} ports {ports:?} flags {flags:02x?} icmp {:?}", self.total_len(), self.icmp_type())?;
        match self.embedded() {
            Some(embedded) => write!(f, " about [{embedded:?}]"),
            None => Ok(()),
        }
    }
}

impl Packet {
    /// `None` if these bytes do not begin with a whole IPv4 header.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let header = usize::from(bytes.first()? & 0x0f) * 4;
        if bytes[0] >> 4 != 4 || header < 20 || bytes.len() < header {
            return None;
        }
        let total = usize::from(u16::from_be_bytes([bytes[2], bytes[3]]));
        // What BIG TCP makes has no length.
        let length = if total == 0 { bytes.len() } else { bytes.len().min(total.max(header)) };
        Some(Self { bytes: bytes[..length].to_vec(), here: bytes.len() })
    }

    fn word(&self, offset: usize) -> Option<u16> {
        Some(u16::from_be_bytes([*self.bytes.get(offset)?, *self.bytes.get(offset + 1)?]))
    }

    fn address(&self, offset: usize) -> Ipv4Addr {
        let [a, b, c, d] = self.bytes[offset..offset + 4].try_into().expect("four bytes of the header");
        Ipv4Addr::new(a, b, c, d)
    }

    pub(crate) fn source(&self) -> Ipv4Addr {
        self.address(12)
    }

    pub(crate) fn destination(&self) -> Ipv4Addr {
        self.address(16)
    }

    pub(crate) fn proto(&self) -> u8 {
        self.bytes[9]
    }

    pub(crate) fn ttl(&self) -> u8 {
        self.bytes[8]
    }

    /// The identification, by which a packet is told on both sides of a router.
    pub(crate) fn id(&self) -> u16 {
        u16::from_be_bytes([self.bytes[4], self.bytes[5]])
    }

    pub(crate) fn total_len(&self) -> u16 {
        u16::from_be_bytes([self.bytes[2], self.bytes[3]])
    }

    /// Offset in bytes, and whether more follow.
    pub(crate) fn fragment(&self) -> (u16, bool) {
        let word = u16::from_be_bytes([self.bytes[6], self.bytes[7]]);
        ((word & 0x1fff) * 8, word & 0x2000 != 0)
    }

    fn header_len(&self) -> usize {
        usize::from(self.bytes[0] & 0x0f) * 4
    }

    /// What follows the IPv4 header.
    pub(crate) fn payload(&self) -> &[u8] {
        &self.bytes[self.header_len()..]
    }

    /// Source and destination port; of an echo, its identifier twice. `None` if there are none, or not here.
    pub(crate) fn ports(&self) -> Option<(u16, u16)> {
        let at = self.header_len();
        match self.proto() {
            _ if self.fragment().0 != 0 => None,
            TCP | UDP => Some((self.word(at)?, self.word(at + 2)?)),
            ICMP if matches!(self.icmp_type()?.0, 0 | 8) => Some((self.word(at + 4)?, self.word(at + 4)?)),
            _ => None,
        }
    }

    pub(crate) fn tcp_flags(&self) -> Option<u8> {
        (self.proto() == TCP && self.fragment().0 == 0).then(|| self.payload().get(13).copied()).flatten()
    }

    /// The maximum segment size that a TCP segment names.
    pub(crate) fn mss(&self) -> Option<u16> {
        self.tcp_flags()?;
        let tcp = self.payload();
        let mut options = tcp.get(20..usize::from(tcp[12] >> 4) * 4)?;
        loop {
            match options {
                [1, rest @ ..] => options = rest,
                [2, 4, high, low, ..] => return Some(u16::from_be_bytes([*high, *low])),
                [0, ..] | [] | [_] => return None,
                [_, length, ..] => options = options.get(usize::from(*length).max(2)..)?,
            }
        }
    }

    /// Type and code.
    pub(crate) fn icmp_type(&self) -> Option<(u8, u8)> {
        if self.proto() != ICMP || self.fragment().0 != 0 {
            return None;
        }
        Some((*self.payload().first()?, *self.payload().get(1)?))
    }

    /// The packet that an ICMP error is about, as much as it embeds.
    pub(crate) fn embedded(&self) -> Option<Self> {
        icmp::is_error(self.icmp_type()?.0).then(|| Self::parse(self.payload().get(icmp::LEN..)?)).flatten()
    }

    /// Its addresses, also those in the packet that it embeds.
    pub(crate) fn addresses(&self) -> Vec<Ipv4Addr> {
        let mut all = vec![self.source(), self.destination()];
        all.extend(self.embedded().iter().flat_map(Self::addresses));
        all
    }

    /// What is wrong with its length and its checksums, and those of the packet that it embeds.
    pub(crate) fn faults(&self) -> Vec<String> {
        let mut faults = self.header_faults();
        if self.total_len() != 0 && self.here < usize::from(self.total_len()) {
            faults.push(format!("is cut: {} bytes are here", self.here));
        } else if self.fragment() == (0, false) {
            faults.extend(self.transport_fault());
        }
        if let Some(embedded) = self.embedded() {
            let mut inner = embedded.header_faults();
            // Only of a packet that is embedded whole, and not shortened by its router, does the sum say something.
            if embedded.fragment() == (0, false) && embedded.bytes.len() == usize::from(embedded.total_len()) {
                inner.extend(embedded.transport_fault());
            }
            faults.extend(inner.into_iter().map(|fault| format!("embedded: {fault}")));
        }
        faults
    }

    fn header_faults(&self) -> Vec<String> {
        let sum = checksum::full(&self.bytes[..self.header_len()]);
        if sum == [0, 0] { vec![] } else { vec![format!("IP checksum is off by {sum:02x?}")] }
    }

    /// The transport checksum of a whole packet.
    fn transport_fault(&self) -> Option<String> {
        let l4 = self.payload();
        let pseudo = match self.proto() {
            UDP if l4.get(6..8) == Some(&[0, 0]) => return None,
            TCP | UDP => {
                let length = u16::try_from(l4.len()).unwrap_or(0).to_be_bytes();
                [&self.bytes[12..20], &[0, self.proto(), length[0], length[1]]].concat()
            }
            ICMP => vec![],
            _ => return None,
        };
        let sum = checksum::full(&[&pseudo, l4].concat());
        (sum != [0, 0]).then(|| format!("transport checksum is off by {sum:02x?}"))
    }
}

/// The IPv4 packets of a capture file so far (libpcap's format, Ethernet or raw IP); a last one that is not written yet is left
/// out.
pub(crate) fn read(file: &[u8]) -> Vec<Packet> {
    let word = |at: usize| file.get(at..at + 4).map(|b| u32::from_ne_bytes([b[0], b[1], b[2], b[3]]));
    let Some(magic) = word(0) else { return vec![] };
    assert!(matches!(magic, 0xa1b2_c3d4 | 0xa1b2_3c4d), "no capture file of this machine: {magic:#x}");
    // LINKTYPE_ETHERNET, LINKTYPE_RAW
    let skip = match word(20) {
        Some(1) => Some(12),
        Some(101) => None,
        Some(other) => panic!("link type {other}"),
        None => return vec![],
    };
    let mut packets = Vec::new();
    let mut at = 24;
    while let Some(length) = word(at + 8).and_then(|length| usize::try_from(length).ok()) {
        let Some(frame) = file.get(at + 16..at + 16 + length) else { break };
        let ip = match skip {
            Some(off) => frame.get(off..).and_then(|rest| rest.strip_prefix(&[0x08, 0x00])),
            None => Some(frame),
        };
        packets.extend(ip.and_then(Packet::parse));
        at += 16 + length;
    }
    packets
}
