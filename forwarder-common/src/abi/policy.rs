//! Rules of endpoints: whom each may speak with.

use crate::abi::{Addr, Counter, record};

/// What a rule does with what it applies to: see [`PolicyRule::action`].
pub mod policy_action {
    /// There is no rule here, nor behind.
    pub const END: u8 = 0;
    /// It passes.
    pub const ALLOW: u8 = 1;
    /// It is dropped, and counted for the rule.
    pub const DENY: u8 = 2;
    /// Set beside these: the rule is one of this very prefix, and not of a shorter one.
    pub const OWN: u8 = 1 << 7;
}

record! {
    /// A rule for destinations that its place in the map `POLICIES` tells.
    #[derive(Default)]
    pub struct PolicyRule {
        /// First port, host byte order.
        pub first: u16,
        /// Last port.
        pub last: u16,
        /// IP protocol; 0 for all of them. ICMPv6 counts as ICMP.
        pub proto: u8,
        /// See [`policy_action`].
        pub action: u8,
        /// Its element of `POLICY_COUNTS`; 0 for none.
        pub number: u16,
    }
}

/// Rules that can apply to an address.
pub const POLICY_RULES: usize = 32;

record! {
    /// Value of the map `POLICIES`: all rules that apply to the addresses of a prefix, the most specific first. Those of shorter prefixes are
    /// among them, because only the longest prefix is found.
    #[derive(Default)]
    pub struct PolicyNode {
        /// The rules, and then such as say that there are no more.
        pub rules: [PolicyRule; POLICY_RULES],
    }
}

/// What comes before the address in a key of `POLICIES`, bits.
pub const POLICY_OWNER_BITS: u32 = 32;

record! {
    /// What rules are looked up by.
    pub struct PolicyKey {
        /// Whose rules, and of which direction: see [`policy_owner`].
        pub owner: u32,
        /// The other end, IPv4 in its mapped form.
        pub addr: Addr,
    }
}

record! {
    /// Key of the map `POLICIES`: the kernel's `struct bpf_lpm_trie_key`.
    pub struct PolicyPrefix {
        /// [`POLICY_OWNER_BITS`], and the length of the prefix.
        pub length: u32,
        /// The first of it.
        pub of: PolicyKey,
    }
}

/// Prefixes of all endpoints together.
pub const POLICY_PREFIXES: usize = 16_384;

/// Conversations of neighbours that are remembered where one of them has rules, and as many where they are only counted; the one that was silent
/// longest makes room for another.
pub const CONVERSATIONS: usize = 16_384;

/// Elements of the map `POLICY_COUNTS`.
pub const POLICY_COUNTS: usize = 16_384;

/// Whose rules of which direction: those of the endpoint with this block of counters, about what it begins or (`inward`) about what others
/// begin with it.
#[inline(always)]
#[must_use]
pub const fn policy_owner(block: u32, inward: bool) -> u32 {
    block << 1 | inward as u32
}

record! {
    /// Key of the maps `CONVERSATIONS` and `COUNTED`: what two neighbours speak, as the packet that began it was addressed. Neighbours have no flows.
    #[derive(Default, Hash)]
    pub struct Conversation {
        /// ifindex of the host-side veth of who began it.
        pub from: u32,
        /// That of the other end.
        pub to: u32,
        /// Address of who began it, IPv4 in its mapped form.
        pub src: Addr,
        /// Address of the other end.
        pub dst: Addr,
        /// Port of who began it, network byte order, or the identifier of a query of ICMP; 0 where there is none.
        pub sport: [u8; 2],
        /// Port of the other end, or the identifier again.
        pub dport: [u8; 2],
        /// IP protocol; ICMPv6 counts as ICMP.
        pub proto: u8,
        /// Which query of ICMP: see [`crate::wire::icmp::query`].
        pub query: u8,
        /// Explicit padding.
        pub _pad: [u8; 2],
    }
}

record! {
    /// Value of the maps `CONVERSATIONS` and `COUNTED`: how far a conversation has come.
    #[derive(Default)]
    pub struct ConversationRecord {
        /// When it was last seen, jiffies (the low 32 bits).
        pub seen: u32,
        /// When it began, likewise.
        pub began: u32,
        /// FIN and RST of TCP that the one who began it has sent since the last SYN, as they stand in the header.
        pub ended: u32,
        /// Those of the other end.
        pub ended_by_other: u32,
        /// What the one who began it has sent.
        pub sent: Counter,
        /// What came back.
        pub received: Counter,
    }
}

/// The key in the map `ADDRESSES` by which the endpoint with a hardware address in the network with this bridge is found: it has the prefix
/// of link-local addresses, and beside it what those never have.
#[inline(always)]
#[must_use]
pub const fn neighbour_key(network: u32, mac: [u8; 6]) -> Addr {
    let ([n0, n1, n2, n3], [a, b, c, d, e, f]) = (network.to_ne_bytes(), mac);
    [0xfe, 0x80, 0xff, n0, n1, n2, n3, 0, 0, 0, a, b, c, d, e, f]
}
