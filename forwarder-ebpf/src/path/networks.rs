//! Whether an address is of a network of `fwd`.

use aya_ebpf::btf_maps::lpm_trie::Key;
use forwarder_common::{
    abi::{Addr, feature},
    decide::route,
};

use crate::kernel::maps::{SUBNETS, SUBNETS_V6, config};

/// Whether `addr` belongs to a network of `fwd`.
#[inline(always)]
pub(crate) fn in_fwd_network(addr: [u8; 4]) -> bool {
    !is_outside(u32::from_ne_bytes(addr)) && SUBNETS.get(&Key::new(32, addr)).is_some()
}

/// As [`in_fwd_network`], of IPv6.
#[inline(always)]
pub(crate) fn in_fwd_network_v6(addr: Addr) -> bool {
    let is_possible = matches!(config(), Some(config) if config.features & feature::IPV6 != 0);
    is_possible && SUBNETS_V6.get(&Key::new(128, addr)).is_some()
}

/// Whether an address (network byte order) lies outside all networks of `fwd` for sure.
#[inline(always)]
pub(crate) fn is_outside(addr: u32) -> bool {
    config().is_none_or(|config| route::is_outside(addr, (config.subnets_min, config.subnets_max)))
}
