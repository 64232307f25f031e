//! Whether an address is of a network of `fwd`.

use aya_ebpf::btf_maps::lpm_trie::Key;
use forwarder_common::{
    abi::{Addr, Config, Endpoint, endpoint_flags, feature},
    decide::route,
};

use crate::kernel::{
    maps::{SUBNETS, SUBNETS_V6, config},
    records,
};

/// Whether `addr` belongs to a network of `fwd`.
#[inline(always)]
pub(crate) fn in_fwd_network(addr: [u8; 4]) -> bool {
    !is_outside(u32::from_ne_bytes(addr)) && SUBNETS.get(&Key::new(32, addr)).is_some()
}

/// As [`in_fwd_network`], of IPv6.
#[inline(always)]
pub(crate) fn in_fwd_network_v6(addr: Addr) -> bool {
    !is_outside_v6(prefix(addr)) && SUBNETS_V6.get(&Key::new(128, addr)).is_some()
}

/// The first eight bytes of an address, as they are loaded.
#[inline(always)]
const fn prefix([a, b, c, d, e, f, g, h, ..]: Addr) -> u64 {
    u64::from_ne_bytes([a, b, c, d, e, f, g, h])
}

/// As [`is_outside`], of an address of IPv6 that begins with these eight bytes.
#[inline(always)]
pub(crate) fn is_outside_v6(prefix: u64) -> bool {
    config().is_none_or(|config| route::is_outside_v6(prefix, (config.prefixes6_min, config.prefixes6_max)))
}

/// Whether some network has addresses of IPv6 that are not translated: otherwise nobody looks for them.
#[inline(always)]
pub(crate) fn any_routed_v6() -> bool {
    matches!(config(), Some(config) if config.features & feature::ROUTED_V6 != 0)
}

/// The endpoint with this address of IPv6, if it is not translated, and its host-side veth.
#[inline(always)]
pub(crate) fn routed_v6(addr: Addr) -> Option<(&'static Endpoint, u32)> {
    if !any_routed_v6() {
        return None;
    }
    let host_veth = records::host_veth_at(addr)?;
    let endpoint = records::endpoint(host_veth)?;
    (endpoint.flags & endpoint_flags::ROUTED_V6 != 0).then_some((endpoint, host_veth))
}

/// Whether an address (network byte order) lies outside all networks of `fwd` for sure.
#[inline(always)]
pub(crate) fn is_outside(addr: u32) -> bool {
    config().is_none_or(|config| lies_outside(config, addr))
}

/// As [`is_outside`], for who has the settings already.
#[inline(always)]
pub(crate) fn lies_outside(config: &Config, addr: u32) -> bool {
    route::is_outside(addr, (config.subnets_min, config.subnets_max))
}
