//! The short way out of a namespace: egress of its own interface → flow → translate → macvlan of the uplink.
//!
//! What crosses a veth pair outward waits in the CPU's backlog for a softirq, and goes through the receive path of the host. A
//! macvlan hands its packets to the uplink at once. A redirect cannot leave its network namespace, so there is one inside, which
//! only sends. The program here translates packets of established flows and redirects them there; whatever else there is goes on
//! over the veth pair to `from_ns`, which knows every case. Both ends of the pair have one ifindex, so the tuple is the same.
//!
//! A namespace could write into its macvlan itself, with any source address. So a packet has to be let out: [`from_inside`] opens a
//! door, the guard at the macvlan lets nothing pass while it is closed, and `to_uplink` closes it behind the packet. All three run one
//! after the other in one call chain on one CPU with softirqs off, so that no other packet finds the door open.

use forwarder_common::{
    abi::Tuple,
    flow::hash,
    packet::L3_OFF,
    rewrite::{Rewrite, Side, Ttl},
    verdict::Verdict,
    wire::{
        ethernet::ethertype,
        icmp, ipv4,
        l4::{self, Proto, tcp_flag},
    },
};

use super::{ethertype, fast, whole, wire_size};
use crate::{
    apply::{self, Action},
    count::{self, Amount},
    flow::{
        life, now,
        store::{self, Hit},
    },
    maps::{EXIT_DOOR, config},
    skb::{Bytes, Skb},
};

/// A packet on its way out of a namespace, still inside.
#[inline(always)]
pub(crate) fn from_inside(skb: Skb) -> Action {
    if let Some(action) = fast::outbound::<true>(skb) {
        set_door(OPEN);
        return action;
    }
    let bytes = skb.headers();
    if skb.vlan_present() != 0 || ethertype(&bytes) != ethertype::IPV4 {
        return Action::NEXT;
    }
    let Ok(ip) = ipv4::parse(&bytes, L3_OFF) else { return Action::NEXT };
    if ip.len != ipv4::MIN_LEN || !whole(skb, &ip) {
        return Action::NEXT;
    }
    let Ok(l4) = l4::parse(&bytes, &ip) else { return Action::NEXT };
    // A SYN may have to be clamped.
    if l4.tcp_flags & tcp_flag::SYN != 0 || l4.proto as u8 == Proto::Icmp as u8 && l4.icmp_type != icmp::ECHO_REQUEST {
        return Action::NEXT;
    }
    let tuple = Tuple::of(&ip, &l4, skb.ifindex());
    let slot = store::hinted(hash(&tuple));
    match store::load::<false>(slot, &tuple) {
        Some(hit) => leave(skb, &bytes, &ip, &l4, &hit),
        None => Action::NEXT,
    }
}

/// Translates a packet of a flow and lets it out, unless there is more to do than that.
#[inline(always)]
fn leave(skb: Skb, bytes: &Bytes, ip: &ipv4::Header, l4: &l4::Header, hit: &Hit) -> Action {
    let Some(config) = config() else { return Action::NEXT };
    // SAFETY: `hit` points into the slot array.
    let (exit, checked) = unsafe {
        let shared = &raw const (*hit.slot).shared;
        ((&raw const (*shared).exit).read_volatile(), (&raw const (*shared).route_checked).read_volatile())
    };
    let now = now();
    let is_due = now.wrapping_sub(checked) > config.hz;
    if exit == 0 || is_due || !hit.knows_macs() || ip.ttl_expires() || wire_size(skb, ip, l4) > u32::from(hit.mtu) {
        return Action::NEXT;
    }
    let amount = Amount::of(skb, ip, l4);
    life::touch::<false>(hit, l4, now, amount);
    let change = Rewrite::new(Side::Source, ip, l4, hit.addr, hit.port, Ttl::Decrement);
    if apply::set_macs(bytes, hit.hop).and_then(|()| apply::rewrite(skb, bytes, &change)).is_err() {
        return Action::DROP;
    }
    count::count(hit.counters.into(), Verdict::Forwarded, amount);
    set_door(OPEN);
    Action::device(exit)
}

const CLOSED: u32 = 0;
const OPEN: u32 = 1;

#[inline(always)]
fn set_door(state: u32) {
    if let Some(door) = EXIT_DOOR.get_ptr_mut(0) {
        // SAFETY: this CPU's element.
        unsafe { door.write_volatile(state) };
    }
}

#[inline(always)]
fn is_open() -> bool {
    let Some(door) = EXIT_DOOR.get_ptr(0) else { return false };
    // SAFETY: this CPU's element.
    (unsafe { door.read_volatile() }) == OPEN
}

/// A packet on its way out by the macvlan of a namespace: it goes on if it was let out.
#[inline(always)]
pub(crate) fn exit_guard() -> Action {
    if is_open() { Action::NEXT } else { Action::DROP }
}

/// Whether the packet at the egress of an uplink was let out by a namespace's exit, translated already. Closes the door.
#[inline(always)]
pub(super) fn left_by_it() -> bool {
    if is_open() {
        set_door(CLOSED);
        return true;
    }
    false
}
