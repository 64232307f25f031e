//! The records of packets that come in fragments; what is decided about them stands in [`forwarder_common::decide::fragment`].
//!
//! A bucket is locked while a CPU works on it, so fragments of one packet on two CPUs are checked one after the other. A first
//! fragment that is still being checked on one CPU is not known yet on another: a later one there is dropped, as if it had come
//! before.

use core::ffi::c_void;

use aya_ebpf::{bindings::__sk_buff, helpers::bpf_loop};
use forwarder_common::{
    abi::{
        Tuple,
        fragment::{BUCKETS, Bucket, Record, WAYS},
    },
    decide::fragment::{self, LIFETIME_SECONDS, Piece, Steps, Time},
    types::verdict::{Code, DropReason},
    wire::{ipv4, l4::has_ports},
};

use crate::{
    kernel::{
        argument::given,
        atomic::replace32,
        clock::now,
        maps::{FRAGMENTS, config},
        packet::{l3_off, skb::Skb},
    },
    table::lookup,
};

/// How often a CPU tries to get a bucket: another has it for some 100 ns.
const ATTEMPTS: u32 = 64;

/// The bucket of `key`, for this CPU alone until [`unlock`].
#[inline(always)]
fn lock(key: &Tuple) -> Option<*mut Bucket> {
    let bucket = FRAGMENTS.get_ptr_mut(lookup::hash(key) & (BUCKETS as u32 - 1))?;
    // SAFETY: a word of an element of the map.
    let mut lock = Lock { word: unsafe { &raw mut (*bucket).lock }, got: 0 };
    let lock = &raw mut lock;
    // SAFETY: `lock` lives on this stack until the loop is over, and nobody else uses it meanwhile.
    unsafe {
        bpf_loop(ATTEMPTS, attempt as *mut c_void, lock.cast(), 0);
        ((*lock).got != 0).then_some(bucket)
    }
}

/// The lock of a bucket, and whether this CPU got it.
#[repr(C)]
struct Lock {
    word: *mut u32,
    got: u32,
}

/// One attempt: returns 1 if it was the last one.
#[inline(never)]
unsafe extern "C" fn attempt(_number: u32, lock: *mut Lock) -> i64 {
    // SAFETY: `bpf_loop` passes the pointer that `lock` gave it.
    unsafe {
        (*lock).got = replace32((*lock).word, 0, 1).into();
        (*lock).got.into()
    }
}

/// Gives a bucket back.
#[inline(always)]
fn unlock(bucket: *mut Bucket) {
    // SAFETY: a word of an element of the map.
    let lock = unsafe { &raw mut (*bucket).lock };
    replace32(lock, 1, 0);
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
    let bucket = lock(&key).ok_or(DropReason::Contended)?;
    // SAFETY: an element of the map, which nobody else uses while this CPU has the lock.
    let ports = fragment::ports::<Functions>(unsafe { &(*bucket).records }, &key, time);
    unlock(bucket);
    ports.ok_or(DropReason::FragmentUnknown)
}

/// Checks a packet, of which only a fragment can fail, that was seen at `ifindex`, of the packet with the ports of `tuple`; its network
/// header is at `l3`.
#[inline(always)]
pub(crate) fn check(skb: Skb, tuple: &Tuple, ifindex: u32, l3: usize) -> Result<(), Code> {
    Code::checked(fwd_fragment_check(skb.ptr(), tuple, ifindex, l3 as u32))
}

/// As [`check`].
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn fwd_fragment_check(skb: *mut __sk_buff, tuple: *const Tuple, ifindex: u32, l3: u32) -> u32 {
    let Some(tuple) = given(tuple) else { return DropReason::Contended as u32 };
    match note(Skb::from_ptr(skb), tuple, ifindex, l3_off(l3)) {
        Ok(()) => 0,
        Err(reason) => reason as u32,
    }
}

#[inline(always)]
fn note(skb: Skb, tuple: &Tuple, ifindex: u32, l3: usize) -> Result<(), DropReason> {
    let ip = ipv4::parse(&skb.headers(), l3)?;
    // Without ports, the addresses of each fragment tell all: nothing needs to be remembered.
    if !ip.fragment || !has_ports(ip.proto) {
        return Ok(());
    }
    let piece = Piece::of(&ip)?;
    let key = fragment::key(&ip, ifindex);
    let time = time().ok_or(DropReason::FragmentUnknown)?;
    let ports = [tuple.sport, tuple.dport];
    let bucket = lock(&key).ok_or(DropReason::Contended)?;
    // SAFETY: as in `ports`.
    let verdict = fragment::see::<Functions>(unsafe { &mut (*bucket).records }, &key, &piece, ports, time);
    unlock(bucket);
    verdict
}

/// The steps that the verifier shall look at once.
struct Functions;

impl Steps for Functions {
    #[inline(always)]
    fn find(records: &[Record; WAYS], key: &Tuple, time: Time) -> u32 {
        fwd_fragment_find(records, key, time.now, time.lifetime)
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

/// [`fragment::find`] as a global function.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn fwd_fragment_find(records: *const [Record; WAYS], key: *const Tuple, now: u32, lifetime: u32) -> u32 {
    // SAFETY: the verifier checks that callers pass whole records; they may be null as far as it knows.
    match unsafe { (records.as_ref(), key.as_ref()) } {
        (Some(records), Some(key)) => fragment::find(records, key, Time { now, lifetime }),
        _ => 0,
    }
}

/// [`fragment::look`] as a global function.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn fwd_fragment_look(state: u64, known: u32, range: u32) -> u64 {
    fragment::look(state, known, range)
}

/// [`fragment::place`] as a global function.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn fwd_fragment_place(known: u32, range: u32, merged: u32, flags: u32) -> u64 {
    fragment::place(known, range, merged, flags)
}
