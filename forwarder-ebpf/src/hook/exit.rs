//! The short way out of a namespace: egress of its own interface → flow → translate → macvlan of the uplink.
//!
//! What crosses a veth pair outward waits in the CPU's backlog for a softirq, and goes through the receive path of the host. A
//! macvlan hands its packets to the uplink at once. A redirect cannot leave its network namespace, so there is one inside, which
//! only sends. The program here translates packets of established flows and redirects them there; whatever else there is goes on
//! over the veth pair to `from_ns`, which knows every case. Both ends of the pair have one ifindex, so the tuple is the same.
//!
//! A namespace could write into its macvlan itself, with any source address. So a packet has to be let out: [`from_inside`] opens a
//! door for it, the guard at the macvlan lets nothing else pass, and `to_uplink` closes it behind the packet. All three run one
//! after the other in one call chain on one CPU with softirqs off, so that no other packet finds the door open.

use forwarder_common::{
    abi::Tuple,
    flow::hash,
    packet::L3_OFF,
    plain::{UDP_HEADERS, at},
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
        set_door(ends(skb));
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
    set_door(ends(skb));
    Action::device(exit)
}

/// Who a packet is from and to: addresses and ports as they stand in it. Zero is nobody.
#[derive(Clone, Copy, PartialEq)]
#[repr(C)]
pub(crate) struct Door {
    addresses: u64,
    ports: u64,
}

const CLOSED: Door = Door { addresses: 0, ports: 0 };

/// Who this packet is from and to; nobody if it is too short for that.
#[inline(always)]
fn ends(skb: Skb) -> Door {
    let bytes = skb.linear();
    if !bytes.holds(UDP_HEADERS) {
        return CLOSED;
    }
    Door { addresses: bytes.load64::<{ at::SOURCE }>(), ports: bytes.load32::<{ at::SOURCE_PORT }>() }
}

#[inline(always)]
fn set_door(door: Door) {
    if let Some(now) = EXIT_DOOR.get_ptr_mut(0) {
        // SAFETY: this CPU's element.
        unsafe { now.write_volatile(door) };
    }
}

/// For whom the door is open.
#[inline(always)]
fn door() -> Door {
    match EXIT_DOOR.get_ptr(0) {
        // SAFETY: this CPU's element.
        Some(door) => unsafe { door.read_volatile() },
        None => CLOSED,
    }
}

/// A packet on its way out by the macvlan of a namespace: it goes on if it was let out. A door that stayed open, because the
/// macvlan was down, is open only for what has the same ends.
#[inline(always)]
pub(crate) fn exit_guard(skb: Skb) -> Action {
    let door = door();
    if door.addresses != 0 && door == ends(skb) { Action::NEXT } else { Action::DROP }
}

/// Whether the packet at the egress of an uplink was let out by a namespace's exit, translated already. Closes the door.
#[inline(always)]
pub(super) fn left_by_it(skb: Skb) -> bool {
    let door = door();
    if door.addresses == 0 {
        return false;
    }
    set_door(CLOSED);
    door == ends(skb)
}
