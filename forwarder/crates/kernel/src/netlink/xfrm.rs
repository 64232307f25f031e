//! The policies of IPsec (`ip xfrm policy`): what is to be encrypted, and what is to be blocked.
//!
//! A program that redirects a packet sends it past them. Of a namespace's own policies the programs know nothing: those are applied
//! before a packet comes to them.

use std::{
    convert::Infallible,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipnet::IpNet;
use rtnetlink::{
    packet_core::{NetlinkDeserializable, NetlinkHeader, NetlinkPayload, NetlinkSerializable, NlasIterator},
    sys::protocols::NETLINK_XFRM,
};

use super::{modules, transport::dump};
use fwd_base::Result;

// XFRM_MSG_* (include/uapi/linux/xfrm.h).
const NEW_POLICY: u16 = 0x13;
const GET_POLICY: u16 = 0x15;
const GET_DEFAULT: u16 = 0x28;
/// Length of `struct xfrm_userpolicy_id`, which a request for all policies repeats empty.
const POLICY_ID: usize = 64;
/// Length of `struct xfrm_userpolicy_info`, after which the attributes stand.
const POLICY_INFO: usize = 168;
/// `XFRMA_TMPL`: how what the policy is about has to be transformed.
const TEMPLATES: u16 = 5;
/// `XFRMA_IF_ID`: the policy is one of an xfrm interface, which applies it whoever sends by it.
const INTERFACE_ID: u16 = 31;
/// `XFRM_USERPOLICY_BLOCK`, of the default.
const DEFAULT_BLOCK: u8 = 1;

/// Which packets a policy is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Those that leave this host.
    Out,
    /// Those that it forwards.
    Forward,
}

/// A policy that asks for something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct XfrmPolicy {
    /// Which packets it is about.
    pub direction: Direction,
    /// From where.
    pub source: IpNet,
    /// To where, of the same family.
    pub destination: IpNet,
    /// The interface by which they leave; 0: any.
    pub ifindex: u32,
    /// They are blocked, not encrypted.
    pub block: bool,
    /// It is what holds where no policy does.
    pub default: bool,
}

impl fmt::Display for XfrmPolicy {
    /// As `ip xfrm policy` shows it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { direction, source, destination, block, default, .. } = self;
        let direction = match direction {
            Direction::Out => "out",
            Direction::Forward => "fwd",
        };
        match (default, block) {
            (true, _) => write!(f, "default {direction} block"),
            (false, true) => write!(f, "src {source} dst {destination} dir {direction} action block"),
            (false, false) => write!(f, "src {source} dst {destination} dir {direction}"),
        }
    }
}

/// The policies of the calling thread's namespace for packets that leave or are forwarded, without those that only let pass.
/// What is about both families is told of each.
///
/// # Errors
/// The kernel refuses. A kernel without IPsec has none.
pub fn xfrm_policies() -> Result<Vec<XfrmPolicy>> {
    // Asking would load the module.
    if !modules::may_be_used(&["xfrm_user", "af_key"]) {
        return Ok(Vec::new());
    }
    let found = dump::open(NETLINK_XFRM).and_then(|socket| {
        let policies = dump::list(&socket, &Message { kind: GET_POLICY, payload: vec![0; POLICY_ID] })?;
        // Unknown before Linux 5.14.
        let default = dump::get(&socket, &Message { kind: GET_DEFAULT, payload: vec![0; 4] }).unwrap_or_default();
        Ok((policies, default))
    });
    let (policies, default) = match found {
        Err(failure) if matches!(failure.errno(), Some(libc::EOPNOTSUPP | libc::EPROTONOSUPPORT)) => {
            return Ok(Vec::new());
        }
        found => found.map_err(|failure| failure.doing("list", "the policies of IPsec"))?,
    };
    let default = default.map(|message| defaults(&message.payload)).unwrap_or_default();
    let policies = policies.iter().filter(|message| message.kind == NEW_POLICY);
    Ok(policies.flat_map(|message| policy(&message.payload)).chain(default).collect())
}

/// Both families.
const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

/// What addresses of a selector are (`xfrm_address_t`, which has room for either).
#[derive(Clone, Copy, Debug)]
enum Family {
    V4,
    V6,
}

impl Family {
    /// All addresses.
    fn everything(self) -> IpNet {
        let unspecified = match self {
            Self::V4 => IpAddr::from(Ipv4Addr::UNSPECIFIED),
            Self::V6 => IpAddr::from(Ipv6Addr::UNSPECIFIED),
        };
        IpNet::new_assert(unspecified, 0)
    }

    /// Those that share `prefix` bits with the address at the beginning of `bytes`.
    fn net(self, bytes: &[u8], prefix: u8) -> Option<IpNet> {
        let address = match self {
            Self::V4 => IpAddr::from(*bytes.first_chunk::<4>()?),
            Self::V6 => IpAddr::from(*bytes.first_chunk::<16>()?),
        };
        Some(IpNet::new(address, prefix.min(self.everything().max_prefix_len())).ok()?.trunc())
    }
}

/// A policy (`struct xfrm_userpolicy_info`, which begins with `struct xfrm_selector`), as it is about each family.
fn policy(payload: &[u8]) -> Vec<XfrmPolicy> {
    let family = payload.get(40..42).map(|bytes| i32::from(u16::from_ne_bytes([bytes[0], bytes[1]])));
    let families = match family {
        Some(libc::AF_INET) => &[Family::V4][..],
        Some(libc::AF_INET6) => &[Family::V6],
        Some(libc::AF_UNSPEC) => &FAMILIES,
        _ => &[],
    };
    families.iter().filter_map(|family| policy_of(*family, payload)).collect()
}

/// The same, as it is about this one.
fn policy_of(family: Family, payload: &[u8]) -> Option<XfrmPolicy> {
    let number = |at: usize| payload.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_ne_bytes);
    let byte = |at: usize| payload.get(at).copied();
    let net = |at: usize, prefix: usize| family.net(payload.get(at..)?, byte(prefix)?);
    let (destination, source, ifindex) = (net(0, 42)?, net(16, 43)?, number(48)?);
    let (index, direction, action) = (number(156)?, byte(160)?, byte(161)?);
    // The low bits of the number of one that belongs to a socket are none of the directions.
    let direction = match (index & 7, direction) {
        (1, 1) => Direction::Out,
        (2, 2) => Direction::Forward,
        _ => return None,
    };
    let mut transforms = false;
    for attribute in NlasIterator::new(payload.get(POLICY_INFO..)?).map_while(Result::ok) {
        match attribute.kind() {
            TEMPLATES => transforms = true,
            INTERFACE_ID if attribute.value() != [0; 4] => return None,
            _ => {}
        }
    }
    let block = action != 0;
    (block || transforms).then_some(XfrmPolicy { direction, source, destination, ifindex, block, default: false })
}

/// What holds where no policy does, of each family (`struct xfrm_userpolicy_default`: in, forward, out).
fn defaults(payload: &[u8]) -> Vec<XfrmPolicy> {
    let blocks = |at: usize| payload.get(at) == Some(&DEFAULT_BLOCK);
    let policy = |direction, family: Family| XfrmPolicy {
        direction,
        source: family.everything(),
        destination: family.everything(),
        ifindex: 0,
        block: true,
        default: true,
    };
    let all = [(blocks(2), Direction::Out), (blocks(1), Direction::Forward)];
    let blocked = all.into_iter().filter(|(blocks, _)| *blocks);
    blocked.flat_map(|(_, direction)| FAMILIES.map(|family| policy(direction, family))).collect()
}

/// A message, as it is.
#[derive(Clone, Debug)]
struct Message {
    kind: u16,
    payload: Vec<u8>,
}

impl NetlinkSerializable for Message {
    fn message_type(&self) -> u16 {
        self.kind
    }

    fn buffer_len(&self) -> usize {
        self.payload.len()
    }

    fn serialize(&self, buffer: &mut [u8]) {
        buffer.copy_from_slice(&self.payload);
    }
}

impl NetlinkDeserializable for Message {
    type Error = Infallible;

    fn deserialize(header: &NetlinkHeader, payload: &[u8]) -> Result<Self, Infallible> {
        Ok(Self { kind: header.message_type, payload: payload.to_vec() })
    }
}

impl From<Message> for NetlinkPayload<Message> {
    fn from(message: Message) -> Self {
        Self::InnerMessage(message)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As the kernel sends one that blocks.
    fn blocking(family: i32, destination: &[u8], prefix: u8) -> Vec<u8> {
        let mut payload = vec![0; POLICY_INFO];
        payload[..destination.len()].copy_from_slice(destination);
        payload[40..42].copy_from_slice(&u16::try_from(family).expect("a family").to_ne_bytes());
        payload[42] = prefix;
        payload[156..160].copy_from_slice(&9_u32.to_ne_bytes());
        (payload[160], payload[161]) = (1, 1);
        payload
    }

    #[test]
    fn policies_of_both_families_are_told() {
        let shown = |payload: &[u8]| policy(payload).iter().map(ToString::to_string).collect::<Vec<_>>();
        let documentation = Ipv6Addr::new(0x2001, 0xdb8, 7, 0, 0, 0, 0, 1).octets();
        assert_eq!(
            shown(&blocking(libc::AF_INET6, &documentation, 48)),
            ["src ::/0 dst 2001:db8:7::/48 dir out action block"]
        );
        assert_eq!(
            shown(&blocking(libc::AF_INET, &[10, 9, 8, 7], 16)),
            ["src 0.0.0.0/0 dst 10.9.0.0/16 dir out action block"]
        );
        assert_eq!(shown(&blocking(libc::AF_UNSPEC, &[], 0)).len(), 2);
        assert!(shown(&blocking(libc::AF_UNIX, &[], 0)).is_empty());
    }

    #[test]
    fn defaults_that_block_are_told_of_both_families() {
        let found = defaults(&[1, 0, 1]);
        let shown: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["default out block"; 2]);
        assert_eq!(found.iter().map(|policy| policy.source.to_string()).collect::<Vec<_>>(), ["0.0.0.0/0", "::/0"]);
        assert_eq!(defaults(&[1, 1, 2]).len(), 2);
        assert!(defaults(&[]).is_empty() && defaults(&[2, 2, 2]).is_empty());
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(payload in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(policy(&payload).iter().all(|it| it.source.max_prefix_len() == it.destination.max_prefix_len()));
            prop_assert!(policy(&payload).len() <= 2 && defaults(&payload).len() <= 4);
        }
    }
}
