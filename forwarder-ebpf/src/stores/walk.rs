//! Which flow comes next.

use core::{marker::PhantomData, ops::ControlFlow};

use forwarder_common::{abi::Tuple, flow::outbound_reply, types::direction::Direction, wire::l4::Proto};

use crate::kernel::{
    maps::{WALK, Walk},
    repeat::{Repeat, repeat},
    shared::Shared,
};

/// Look-ups of a run.
pub(crate) const LOOK_UPS: u32 = 1024;
/// Flows that a run makes at most.
pub(crate) const FILLS: u32 = 4096;

const UPLINK: u32 = 2;
const HOST_VETH: u32 = 3;

/// What a run does again and again.
pub(crate) trait Step {
    /// Step number `index`; whether another one follows.
    fn step(index: u32, walk: &mut Walk) -> ControlFlow<()>;
}

struct Run<S>(Walk, PhantomData<S>);

impl<S: Step> Repeat for Run<S> {
    #[inline(always)]
    fn round(&mut self, number: u32) -> ControlFlow<()> {
        S::step(number, &mut self.0)
    }
}

/// Takes a step `count` times. One program at a time runs.
#[inline(always)]
pub(crate) fn run<S: Step>(count: u32) -> i32 {
    let Some(walk) = Shared::element(&WALK, 0) else { return -1 };
    let mut run = Run::<S>(walk.read(), PhantomData);
    repeat(&mut run, count);
    walk.write(run.0);
    0
}

/// The tuple to look up, outbound and inbound in turn.
#[inline(always)]
pub(crate) fn next(walk: &mut Walk, direction: Direction) -> Tuple {
    // Knuth's MMIX generator; its high bits are the good ones.
    walk.state = walk.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    let picked = (walk.state >> 33) & walk.hot_mask;
    // An odd factor permutes the flows: hot ones are spread over all, in no regular distance.
    let flow = (picked.wrapping_mul(0x9e37_79b1) & walk.flow_mask) as u32;
    if direction.is_inbound() { reply(flow) } else { outbound(flow) }
}

/// Waits for the result of a look-up before the next begins, as a packet does: `mtu` is always [`MTU`].
#[inline(always)]
pub(crate) fn chain(walk: &mut Walk, mtu: u16) {
    walk.state ^= u64::from(mtu ^ MTU);
}

/// The MTU of every flow.
pub(crate) const MTU: u16 = 1500;

/// The tuple of flow number `flow` as it leaves its namespace.
#[inline(always)]
pub(crate) fn outbound(flow: u32) -> Tuple {
    Tuple {
        saddr: [10, 0, 0, 2],
        daddr: remote(flow),
        sport: port(flow).to_be_bytes(),
        dport: 443_u16.to_be_bytes(),
        ifindex: HOST_VETH,
        proto: Proto::Tcp as u8,
        query: 0,
        family: 0,
    }
}

/// The tuple of its replies.
#[inline(always)]
pub(crate) fn reply(flow: u32) -> Tuple {
    outbound_reply(&outbound(flow), UPLINK, [198, 51, 100, 7], port(flow).to_be_bytes())
}

#[inline(always)]
fn remote(flow: u32) -> [u8; 4] {
    (0x0b00_0000 | flow >> 14).to_be_bytes()
}

#[inline(always)]
fn port(flow: u32) -> u16 {
    (1024_u32.wrapping_add(flow & 0x3fff)) as u16
}
