//! Counts packets as on the wire after segmentation, and IP bytes.

use forwarder_common::{
    abi::COMMON_CODES,
    types::verdict::{Code, Verdict},
    wire::{ipv4, l4},
};

use crate::kernel::{
    maps::{COUNTERS, TRAFFIC},
    packet::skb::Skb,
    records,
    shared::Shared,
    trace,
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
        Self::behind(skb, ip.off, ip.len.wrapping_add(l4.len) as u32, ip.total_len.into())
    }

    /// A packet that begins at `off`, has so many bytes of headers, and is as long as its header says.
    #[inline(always)]
    pub(crate) fn behind(skb: Skb, off: usize, headers: u32, total: u32) -> Self {
        let segments = skb.segments(off.wrapping_add(headers as usize));
        if segments > 1 {
            let repeated = segments.wrapping_sub(1).wrapping_mul(headers);
            return Self { packets: segments, bytes: skb.len().wrapping_sub(off as u32).wrapping_add(repeated) };
        }
        // The frame may be padded: the header knows better.
        Self { packets: 1, bytes: total }
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
    trace::verdict(code);
    let code = code.raw() as usize;
    let Amount { packets, bytes } = amount;
    if code < COMMON_CODES {
        if let Some(block) = Shared::own(&TRAFFIC, block)
            && let Some(counter) = block.by_code().nth(code)
        {
            counter.packets().add_here(packets.into());
            counter.bytes().add_here(bytes.into());
        }
    } else if let Some(block) = Shared::element(&COUNTERS, block)
        && let Some(counter) = block.by_code().nth(code)
    {
        counter.packets().add(packets.into());
        counter.bytes().add(bytes.into());
    }
}

global_fn! {
    /// See [`count_at_endpoint`].
    pub(crate) fn fwd_count_at_endpoint(ifindex: u32, code: Code, packets: u32, bytes: u32) -> () = count_at_endpoint;
    /// See [`count_at_uplink`].
    pub(crate) fn fwd_count_at_uplink(ifindex: u32, egress: bool, code: Code, packets: u32, bytes: u32) -> () = count_at_uplink;
    /// See [`count_at_network`].
    pub(crate) fn fwd_count_at_network(bridge: u32, code: Code, packets: u32, bytes: u32) -> () = count_at_network;
}

/// Counts at an endpoint that is looked up by its host-side veth: for packets without a flow.
#[inline(always)]
fn count_at_endpoint(ifindex: u32, code: Code, packets: u32, bytes: u32) {
    let block = match records::endpoint(ifindex) {
        Some(endpoint) => endpoint.counters,
        None => 0,
    };
    count_code(block, code, Amount { packets, bytes });
}

/// Counts at an uplink's ingress (or egress) that is looked up by its interface.
#[inline(always)]
fn count_at_uplink(ifindex: u32, egress: bool, code: Code, packets: u32, bytes: u32) {
    let block = match records::uplink(ifindex) {
        Some(uplink) if egress => uplink.counters_out,
        Some(uplink) => uplink.counters_in,
        None => 0,
    };
    count_code(block, code, Amount { packets, bytes });
}

/// Counts at the network with this bridge.
#[inline(always)]
fn count_at_network(bridge: u32, code: Code, packets: u32, bytes: u32) {
    let block = match records::network(bridge) {
        Some(network) => network.counters,
        None => 0,
    };
    count_code(block, code, Amount { packets, bytes });
}
