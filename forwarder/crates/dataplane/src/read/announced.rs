//! The addresses for which the programs answer, because the host does not have them: what endpoints say by their records.

use std::collections::BTreeMap;

use forwarder_common::abi::{Addr, Endpoint, endpoint_flags, feature, mapped};

use crate::{Dataplane, object::maps};
use fwd_base::Result;

impl Dataplane {
    /// Tells the programs for which addresses they answer, and where, as the records of endpoints are now: after `changed` was registered, or
    /// removed.
    pub(super) fn follow_announced(&self, changed: Option<&Endpoint>) -> Result<()> {
        if changed.and_then(announced).is_none() {
            return Ok(());
        }
        let wanted: BTreeMap<Addr, u32> = self.endpoints()?.iter().filter_map(|(_, it)| announced(it)).collect();
        let mut config = self.config()?;
        let found = if config.features & feature::ANNOUNCED != 0 { self.entries(maps::ANNOUNCED)? } else { Vec::new() };
        for (addr, at) in &wanted {
            if !found.contains(&(*addr, *at)) {
                self.put(maps::ANNOUNCED, addr, at)?;
            }
        }
        for (addr, _) in found.iter().filter(|(addr, _)| !wanted.contains_key(addr)) {
            self.forget(maps::ANNOUNCED, addr)?;
        }
        let set = if wanted.is_empty() { 0 } else { feature::ANNOUNCED };
        let features = config.features & !feature::ANNOUNCED | set;
        if features == config.features {
            return Ok(());
        }
        config.features = features;
        self.set_config(&config)
    }
}

/// The address of an endpoint that is announced, and the uplink at which it is.
fn announced(endpoint: &Endpoint) -> Option<(Addr, u32)> {
    let is = endpoint.flags & endpoint_flags::ANNOUNCED != 0 && endpoint.source != [0; 4];
    is.then(|| (mapped(endpoint.source), endpoint.uplink))
}
