//! Counts packets as on the wire after segmentation, and IP bytes.

use forwarder_common::{
    abi::{CODES, COMMON_CODES, Counter},
    types::verdict::{Code, Verdict},
    wire::{ipv4, l4},
};

use crate::kernel::{
    atomic::{add_here, add64},
    maps::{COUNTERS, TRAFFIC},
    packet::skb::Skb,
    records, trace,
};

/// What one packet adds to counters.
#[derive(Clone, Copy)]
pub(crate) struct Amount {
    pub(crate) packets: u32,
    pub(crate) bytes: u32,
}

impl Amount {
    /// A packet of which no more is known than its length, and where its network header is.
    #[inline(always)]
    pub(crate) fn whole(skb: Skb, l3: usize) -> Self {
        Self { packets: 1, bytes: skb.len().wrapping_sub(l3 as u32) }
    }

    /// A parsed packet: each segment of a GSO packet repeats the headers.
    #[inline(always)]
    pub(crate) fn of(skb: Skb, ip: &ipv4::Header, l4: &l4::Header) -> Self {
        let headers = ip.len.wrapping_add(l4.len);
        let segments = skb.segments(ip.off.wrapping_add(headers));
        if segments > 1 {
            let repeated = segments.wrapping_sub(1).wrapping_mul(headers as u32);
            return Self { packets: segments, bytes: skb.len().wrapping_sub(ip.off as u32).wrapping_add(repeated) };
        }
        // The frame may be padded: the header knows better.
        Self { packets: 1, bytes: ip.total_len.into() }
    }
}

/// Adds to the counter of `verdict` in `block`.
#[inline(always)]
pub(crate) fn count(block: u32, verdict: Verdict, amount: Amount) {
    count_code(block, verdict.code(), amount);
}

/// As [`count`], of the verdict with this code.
#[inline(always)]
pub(crate) fn count_code(block: u32, code: Code, amount: Amount) {
    let code = code.raw();
    trace::verdict(code);
    let Amount { packets, bytes } = amount;
    if (code as usize) < COMMON_CODES {
        let Some(block) = TRAFFIC.get_ptr_mut(block) else { return };
        // SAFETY: `code` is below COMMON_CODES, so the counter lies in the block.
        let counter = unsafe { (&raw mut (*block).by_code).cast::<Counter>().add(code as usize) };
        // SAFETY: as above.
        let (all_packets, all_bytes) = unsafe { (&raw mut (*counter).packets, &raw mut (*counter).bytes) };
        add_here(all_packets, packets.into());
        add_here(all_bytes, bytes.into());
    } else if (code as usize) < CODES
        && let Some(block) = COUNTERS.get_ptr_mut(block)
    {
        // SAFETY: `code` is below CODES, so the counter lies in the block.
        let counter = unsafe { (&raw mut (*block).by_code).cast::<Counter>().add(code as usize) };
        // SAFETY: as above.
        let (all_packets, all_bytes) = unsafe { (&raw mut (*counter).packets, &raw mut (*counter).bytes) };
        add64(all_packets, packets.into());
        add64(all_bytes, bytes.into());
    }
}

/// Counts at an endpoint that is looked up by its host-side veth: for packets without a flow.
#[inline(never)]
#[unsafe(no_mangle)]
pub(crate) extern "C" fn fwd_count_at_endpoint(ifindex: u32, code: u32, packets: u32, bytes: u32) -> u32 {
    let block = match records::endpoint(ifindex) {
        Some(endpoint) => endpoint.counters,
        None => 0,
    };
    count_code(block, Code::from_raw(code), Amount { packets, bytes });
    0
}

/// Counts at an uplink's ingress (or egress) that is looked up by its interface.
#[inline(never)]
#[unsafe(no_mangle)]
pub(crate) extern "C" fn fwd_count_at_uplink(ifindex: u32, egress: u32, code: u32, packets: u32, bytes: u32) -> u32 {
    let block = match records::uplink(ifindex) {
        Some(uplink) if egress != 0 => uplink.counters_out,
        Some(uplink) => uplink.counters_in,
        None => 0,
    };
    count_code(block, Code::from_raw(code), Amount { packets, bytes });
    0
}

/// Counts at the network with this bridge.
#[inline(never)]
#[unsafe(no_mangle)]
pub(crate) extern "C" fn fwd_count_at_network(bridge: u32, code: u32, packets: u32, bytes: u32) -> u32 {
    let block = match records::network(bridge) {
        Some(network) => network.counters,
        None => 0,
    };
    count_code(block, Code::from_raw(code), Amount { packets, bytes });
    0
}
