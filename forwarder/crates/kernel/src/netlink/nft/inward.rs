//! The chains by which what is for an address of the host is led to a published port.
//!
//! What a network publishes that is bound to its uplink is for who comes by that, and for who is in a network of `fwd`: each of these has a
//! rule that leads from its bridge to a chain of its own, `inside`, so that no publication has to know which there are.

use rtnetlink::packet_core::DefaultNla;

use super::{
    CHAIN_NAME, CHAIN_TABLE, Message, TABLE, base_chain,
    expressions::{equal, jump},
    message::text,
    rule,
};

/// For whoever comes.
pub(super) const PREROUTING: &str = "prerouting";
/// For who is in a network.
pub(super) const INSIDE: &str = "inside";
/// `NF_INET_PRE_ROUTING`.
const HOOK_PREROUTING: u32 = 0;
/// Priority `dstnat` (`NF_IP_PRI_NAT_DST`).
const PRIORITY_DSTNAT: i32 = -100;

/// How nft(8) declares them.
pub const INWARD_CHAINS: [&str; 2] = ["inside", "prerouting { type nat hook prerouting priority dstnat; }"];

/// The rule of a network with this bridge, behind the name of its chain, as nft(8) has it.
#[must_use]
pub fn inward_rule(bridge: &str) -> String {
    format!("{PREROUTING} iifname \"{bridge}\" jump {INSIDE}")
}

/// The same as expressions.
pub(super) fn expressions(bridge: &str) -> (&'static str, Vec<DefaultNla>) {
    (PREROUTING, vec![rule::meta(rule::IIFNAME), equal(&rule::padded(bridge)), jump(INSIDE)])
}

/// Both chains, in the order in which they can be made.
pub(super) fn chains() -> [Message; 2] {
    let inside = Message::new_chain(vec![text(CHAIN_TABLE, TABLE), text(CHAIN_NAME, INSIDE)]);
    [inside, chain(PREROUTING, HOOK_PREROUTING)]
}

/// A chain of translation at a hook, of the priority of what translates destinations.
pub(super) fn chain(name: &str, hook: u32) -> Message {
    base_chain(name, "nat", hook, PRIORITY_DSTNAT)
}
