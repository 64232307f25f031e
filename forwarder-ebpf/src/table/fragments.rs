//! The records of packets that come in fragments; what is decided about them stands in [`forwarder_common::decide::fragment`].
//!
//! A bucket is locked while a CPU works on it, so fragments of one packet on two CPUs are checked one after the other. A first
//! fragment that is still being checked on one CPU is not known yet on another: a later one there is dropped, as if it had come
//! before.

use core::ops::ControlFlow;

use forwarder_common::{
    abi::{
        Tuple,
        fragment::{BUCKETS, Bucket, Range, Record, WAYS},
    },
    decide::fragment::{self, LIFETIME_SECONDS, Note, Piece, Steps, Time},
    types::verdict::{Code, DropReason},
    wire::{ipv4, l4::has_ports},
};

use crate::{
    kernel::{
        clock::now,
        maps::{FRAGMENTS, PACKET6, config, secret},
        packet::{l3_off, skb::Skb},
        repeat::{Repeat, repeat},
        scratch::{Packet6, scratch},
        shared::Shared,
    },
    table::lookup,
};

/// How often a CPU tries to get a bucket: another has it for some 100 ns.
const ATTEMPTS: u32 = 64;

shared_fields! {
    Bucket {
        /// 1 while a CPU works on the bucket.
        lock: u32 = lock;
        /// The records.
        records: [Record; WAYS] = records;
    }
}

/// Works on the records of the bucket of `key`, which this CPU has for itself meanwhile.
#[inline(always)]
fn locked<R>(key: &Tuple, work: impl FnOnce(&mut [Record; WAYS]) -> R) -> Option<R> {
    let bucket = Shared::element(&FRAGMENTS, lookup::hash(key) & (BUCKETS as u32 - 1))?;
    let mut lock = Lock { word: bucket.lock(), got: 0 };
    repeat(&mut lock, ATTEMPTS);
    if lock.got == 0 {
        return None;
    }
    // SAFETY: an element of an array lives as long as the programs; nobody else uses the records of a bucket while this CPU has its lock.
    let result = work(unsafe { &mut *bucket.records().ptr() });
    bucket.lock().replace(1, 0);
    Some(result)
}

/// The lock of a bucket, and whether this CPU got it.
#[repr(C)]
struct Lock {
    word: Shared<u32>,
    got: u32,
}

impl Repeat for Lock {
    /// One attempt.
    #[inline(always)]
    fn round(&mut self, _number: u32) -> ControlFlow<()> {
        self.got = self.word.replace(0, 1).into();
        if self.got != 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

#[inline(always)]
fn time() -> Option<Time> {
    Some(Time { now: now(), lifetime: config()?.hz.wrapping_mul(LIFETIME_SECONDS) })
}

/// The ports of the packet that the later fragment with header `ip`, seen at `ifindex`, is of.
#[inline(always)]
pub(crate) fn ports(ip: &ipv4::Header, ifindex: u32) -> Result<[[u8; 2]; 2], DropReason> {
    let key = fragment::key(ip, ifindex);
    let time = time().ok_or(DropReason::FragmentUnknown)?;
    let ports = locked(&key, |records| fragment::ports::<Functions>(records, &key, time));
    ports.ok_or(DropReason::Contended)?.ok_or(DropReason::FragmentUnknown)
}

/// Checks a packet, of which only a fragment can fail, and notes it: a fragment of the packet with the ports of `tuple`, its network header
/// at `l3`, about which was decided. That is the verdict of a packet that leaves, a punt if it is left to the kernel; of one that comes in
/// [`Code::DELIVERED`].
#[inline(always)]
pub(crate) fn check(skb: Skb, tuple: &Tuple, l3: usize, verdict: Code) -> Result<(), Code> {
    fwd_fragment_check(skb, tuple, l3 as u32, verdict)
}

/// The same of the packet of IPv6 in the map `PACKET6`.
#[inline(always)]
pub(crate) fn check_v6(skb: Skb, packet: &Packet6, verdict: Code) -> Result<(), Code> {
    if packet.fragment_off == 0 { Ok(()) } else { fwd_fragment6_check(skb.ifindex(), verdict) }
}

/// See [`fragment::ipv6::id_mask`].
#[inline(always)]
pub(crate) fn id_mask_v6(tuple: &Tuple) -> u32 {
    fragment::ipv6::id_mask(tuple, &secret())
}

/// See [`fragment::id_mask`].
#[inline(always)]
pub(crate) fn id_mask(tuple: &Tuple) -> u16 {
    fragment::id_mask(tuple, &secret())
}

global_fn! {
    /// As [`check`].
    fn fwd_fragment_check(skb: Skb, tuple: &Tuple, l3: u32, verdict: Code) -> Result<(), Code> = note;
    /// As [`check_v6`], of a fragment that was seen at `ifindex`.
    fn fwd_fragment6_check(ifindex: u32, verdict: Code) -> Result<(), Code> = note_v6;
    /// See [`complete_v6`].
    pub(crate) fn fwd_fragment6_complete(ifindex: u32) -> Result<(), Code> = complete_v6;
    /// See [`find`].
    fn fwd_fragment_find(records: &[Record; WAYS], key: &Tuple, now: u32, lifetime: u32) -> u32 = find;
    /// See [`rank`].
    fn fwd_fragment_rank(records: &[Record; WAYS], record: &Record, key: &Tuple, now: u32, lifetime: u32) -> u32 = rank;
    /// See [`fragment::share`].
    fn fwd_fragment_share(records: &[Record; WAYS], key: &Tuple) -> u32 = fragment::share;
    /// See [`fragment::look`].
    fn fwd_fragment_look(state: u64, known: u32, range: u32) -> u64 = fragment::look;
    /// See [`fragment::place`].
    fn fwd_fragment_place(known: u32, range: u32, merged: u32, flags: u32) -> u64 = fragment::place;
}

#[inline(always)]
fn note(skb: Skb, tuple: &Tuple, l3: u32, verdict: Code) -> Result<(), Code> {
    let ip = ipv4::parse(&skb.headers(), l3_off(l3))?;
    // Without ports, the addresses of each fragment tell all: nothing needs to be remembered.
    if !ip.fragment || !has_ports(ip.proto) {
        return Ok(());
    }
    let piece = Piece::of(&ip)?;
    let key = fragment::key(&ip, skb.ifindex());
    let time = time().ok_or(DropReason::FragmentUnknown)?;
    let hops = if verdict == Code::DELIVERED { u8::MAX } else { ip.ttl };
    let note = Note { ports: [tuple.sport, tuple.dport], hops, verdict };
    let seen = locked(&key, |records| fragment::see::<Functions>(records, &key, &piece, note, time));
    seen.ok_or(DropReason::Contended)?
}

/// Completes the later fragment in the map `PACKET6`, which was seen at `ifindex`, by the ports of the first.
#[inline(always)]
fn complete_v6(ifindex: u32) -> Result<(), Code> {
    let Some(packet) = scratch(&PACKET6) else { return Err(DropReason::Contended.into()) };
    let key = fragment::ipv6::key(&Tuple { ifindex, ..packet.tuple }, packet.fragment_id);
    let Some(time) = time() else { return Err(DropReason::FragmentUnknown.into()) };
    let Some(found) = locked(&key, |records| fragment::ports::<Functions>(records, &key, time)) else {
        return Err(DropReason::Contended.into());
    };
    let Some([sport, dport]) = found else { return Err(DropReason::FragmentUnknown.into()) };
    packet.tuple.sport = sport;
    packet.tuple.dport = dport;
    Ok(())
}

#[inline(always)]
fn note_v6(ifindex: u32, verdict: Code) -> Result<(), Code> {
    let Some(packet) = scratch(&PACKET6) else { return Err(DropReason::Contended.into()) };
    let key = fragment::ipv6::key(&Tuple { ifindex, ..packet.tuple }, packet.fragment_id);
    let Some(time) = time() else { return Err(DropReason::FragmentUnknown.into()) };
    let range = Range { start: packet.range as u16, end: (packet.range >> 16) as u16 };
    let piece = Piece { range, last: packet.last != 0 };
    let hops = if verdict == Code::DELIVERED { u8::MAX } else { packet.hop_limit };
    let note = Note { ports: [packet.tuple.sport, packet.tuple.dport], hops, verdict };
    let seen = locked(&key, |records| fragment::see::<Functions>(records, &key, &piece, note, time));
    seen.ok_or(DropReason::Contended)?
}

/// The steps that the verifier shall look at once.
struct Functions;

impl Steps for Functions {
    #[inline(always)]
    fn find(records: &[Record; WAYS], key: &Tuple, time: Time) -> u32 {
        fwd_fragment_find(records, key, time.now, time.lifetime)
    }

    #[inline(always)]
    fn rank(records: &[Record; WAYS], record: &Record, key: &Tuple, time: Time) -> u32 {
        fwd_fragment_rank(records, record, key, time.now, time.lifetime)
    }

    #[inline(always)]
    fn share(records: &[Record; WAYS], key: &Tuple) -> u32 {
        fwd_fragment_share(records, key)
    }

    #[inline(always)]
    fn look(state: u64, known: u32, range: u32) -> u64 {
        fwd_fragment_look(state, known, range)
    }

    #[inline(always)]
    fn place(known: u32, range: u32, merged: u32, flags: u32) -> u64 {
        fwd_fragment_place(known, range, merged, flags)
    }
}

/// See [`fragment::rank`].
#[inline(always)]
fn rank(records: &[Record; WAYS], record: &Record, key: &Tuple, now: u32, lifetime: u32) -> u32 {
    fragment::rank::<Functions>(records, record, key, Time { now, lifetime })
}

/// See [`fragment::find`].
#[inline(always)]
fn find(records: &[Record; WAYS], key: &Tuple, now: u32, lifetime: u32) -> u32 {
    fragment::find::<Functions>(records, key, Time { now, lifetime })
}
