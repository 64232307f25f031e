//! What a flow that is to be made has of its endpoint and of an uplink.

use forwarder_common::{
    abi::{Endpoint, port_use},
    decide::{route, source::Pool},
};

use crate::kernel::{fib::words, maps::config, scratch::Opening};

/// Above the TCP flags: the flow begins from outside.
pub(super) const INBOUND: u32 = 1 << 8;

/// What a flow of the endpoint behind `host_veth` has of that and of an uplink; its way is still missing. Field by field, the addresses as a whole: a
/// record put together first would stand on the stack, which is short.
#[inline(always)]
pub(super) fn begin(opening: &mut Opening, host_veth: u32, endpoint: &Endpoint, uplink: u32, counters: [u32; 2]) {
    opening.uplink = uplink;
    opening.endpoint = host_veth;
    opening.endpoint_mtu = endpoint.mtu;
    let ([t0, t1, t2, t3, t4, t5], [f0, f1, f2, f3, f4, f5]) = (endpoint.mac, endpoint.gateway_mac);
    opening.macs = words([t0, t1, t2, t3, t4, t5, f0, f1, f2, f3, f4, f5]);
    opening.counters = endpoint.counters;
    [opening.counters_in, opening.counters_out] = counters;
    opening.port_use = port_use_of(endpoint.flags);
    opening.keeps = 0;
    opening.pool = Pool::NONE;
}

/// How a flow of an endpoint with `flags` takes its port: ports are counted only while some network maps them.
#[inline(always)]
pub(super) fn port_use_of(flags: u32) -> u32 {
    config().map_or(port_use::BY_TUPLE, |config| route::port_use_of(config.features, flags)).into()
}
