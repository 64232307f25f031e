//! Rules of endpoints about whom they speak with: asked once, when a conversation begins, and again when the route of its flow is looked up again.
//! Whose endpoint has none pays for one look at its flags. What goes outside has a flow, which remembers the answer; [`neighbours`] have none.

pub(super) mod ipv4;
pub(super) mod neighbours;

use core::ops::ControlFlow;

use aya_ebpf::btf_maps::lpm_trie::Key;
use forwarder_common::{
    abi::{
        Addr, Endpoint, POLICY_OWNER_BITS, POLICY_RULES, PolicyKey, PolicyNode, Tuple, endpoint_flags, feature, mapped,
        policy_owner,
    },
    decide::policy::{NEXT, PASSES, protocol, said},
    types::verdict::{Code, DropReason},
};

use crate::kernel::{
    maps::{POLICIES, POLICY_COUNTS, config},
    records,
    repeat::{Repeat, repeat},
    shared::Shared,
};

/// Endpoints with rules.
const RULED: u32 = endpoint_flags::POLICY_OUT | endpoint_flags::POLICY_IN;

/// Whether some endpoint has rules, or counts what it speaks with neighbours.
#[inline(always)]
pub(super) fn is_asked() -> bool {
    config().is_some_and(|config| config.features & (feature::POLICY | feature::EAST_WEST) != 0)
}

/// Whether `endpoint` may begin, or (`inward`) others may begin with it, the conversation of a flow of IPv4 with the outbound tuple `tuple`.
#[inline(always)]
pub(super) fn admit(tuple: &Tuple, endpoint: &Endpoint, inward: bool) -> Result<(), Code> {
    if endpoint.flags & RULED == 0 { Ok(()) } else { fwd_policy_admit(tuple, inward) }
}

#[inline(always)]
fn ask(tuple: &Tuple, inward: bool) -> Result<(), Code> {
    let Some(endpoint) = records::endpoint(tuple.ifindex) else { return Err(DropReason::NoEndpoint.into()) };
    let port = if inward { tuple.sport } else { tuple.dport };
    asked(endpoint, inward, &mapped(tuple.daddr), word(tuple.proto, port))
}

/// As [`admit`], of IPv6, with the other end at `addr`, the protocol `number` as it stands in the packet, and the `port` of whom the first
/// packet is for.
#[inline(always)]
pub(super) fn admit_ipv6(
    endpoint: &Endpoint,
    inward: bool,
    addr: &Addr,
    number: u8,
    port: [u8; 2],
) -> Result<(), Code> {
    asked(endpoint, inward, addr, word(number, port))
}

/// Whether the endpoint behind the host-side veth `client` may begin a conversation with that behind `server`, by this protocol and at this port
/// there, by an address of the host, of IPv6 or not. The rules at both ends know the ends as they are: for the server the client would be the
/// host.
#[inline(always)]
pub(super) fn admit_by_host(client: u32, server: u32, (proto, port): (u8, [u8; 2]), ipv6: bool) -> Result<(), Code> {
    if is_asked() { fwd_policy_by_host(client, server, word(proto, port), ipv6) } else { Ok(()) }
}

#[inline(always)]
fn by_host(client: u32, server: u32, word: u32, ipv6: bool) -> Result<(), Code> {
    let (Some(from), Some(to)) = (records::endpoint(client), records::endpoint(server)) else {
        return Err(DropReason::NoEndpoint.into());
    };
    if client == server {
        return Ok(());
    }
    if ipv6 {
        asked(from, false, &to.v6, word)?;
        return asked(to, true, &from.v6, word);
    }
    asked(from, false, &mapped(to.v4), word)?;
    asked(to, true, &mapped(from.v4), word)
}

/// Protocol and port as one number.
#[inline(always)]
const fn word(number: u8, port: [u8; 2]) -> u32 {
    u16::from_be_bytes(port) as u32 | (protocol(number) as u32) << 16
}

/// Set beside protocol and port: what is refused is not counted.
const UNCOUNTED: u32 = 1 << 24;

/// Asks the rules of `endpoint` about a conversation with `addr`; see [`word`].
#[inline(always)]
fn asked(endpoint: &Endpoint, inward: bool, addr: &Addr, word: u32) -> Result<(), Code> {
    let (flag, reason) = if inward {
        (endpoint_flags::POLICY_IN, DropReason::DeniedIn)
    } else {
        (endpoint_flags::POLICY_OUT, DropReason::DeniedOut)
    };
    if endpoint.flags & flag == 0 {
        return Ok(());
    }
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = *addr;
    let (first, second) = (u64::from_ne_bytes([a, b, c, d, e, f, g, h]), u64::from_ne_bytes([i, j, k, l, m, n, o, p]));
    let owner = policy_owner(endpoint.counters, inward);
    if fwd_policy_admits(owner, first, second, word) { Ok(()) } else { Err(reason.into()) }
}

global_fn! {
    /// See [`admit`].
    fn fwd_policy_admit(tuple: &Tuple, inward: bool) -> Result<(), Code> = ask;
    /// See [`admit_by_host`].
    fn fwd_policy_by_host(client: u32, server: u32, word: u32, ipv6: bool) -> Result<(), Code> = by_host;
    /// See [`is_admitted`].
    fn fwd_policy_admits(owner: u32, first: u64, second: u64, word: u32) -> bool = is_admitted;
}

/// Whether rules of `owner` let a conversation begin with the address of which these are the halves; see [`word`]. Counts it for the rule if not.
#[inline(always)]
fn is_admitted(owner: u32, first: u64, second: u64, word: u32) -> bool {
    const BITS: u32 = POLICY_OWNER_BITS.wrapping_add(128);
    let ([a, b, c, d, e, f, g, h], [i, j, k, l, m, n, o, p]) = (first.to_ne_bytes(), second.to_ne_bytes());
    let addr = [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p];
    let Some(node) = POLICIES.get(&Key::new(BITS, PolicyKey { owner, addr })) else { return true };
    let mut search = Search { node, word, said: PASSES };
    repeat(&mut search, POLICY_RULES as u32);
    let number = search.said;
    if number == PASSES {
        return true;
    }
    if word & UNCOUNTED == 0
        && let Some(count) = Shared::element(&POLICY_COUNTS, number)
    {
        count.add(1);
    }
    false
}

/// What the rules of an address are asked with. `bpf_loop` takes it on the stack only.
#[repr(C)]
struct Search {
    node: &'static PolicyNode,
    word: u32,
    /// What was said so far: see [`said`].
    said: u32,
}

impl Repeat for Search {
    /// Asks the rule at this place.
    #[inline(always)]
    fn round(&mut self, number: u32) -> ControlFlow<()> {
        let Some(rule) = self.node.rules.get(number as usize) else { return ControlFlow::Break(()) };
        let said = said(rule, (self.word >> 16) as u8, self.word as u16);
        if said == NEXT {
            return ControlFlow::Continue(());
        }
        self.said = said;
        ControlFlow::Break(())
    }
}
