//! The addresses for which the programs answer, because the host does not have them: what endpoints say by their records.

use std::collections::BTreeMap;

use forwarder_common::abi::{Addr, Endpoint, endpoint_flags, feature, mapped};

use crate::{Dataplane, object::maps};
use fwd_base::Result;

impl Dataplane {
    /// Tells the programs for which addresses they answer, and where, as the records of endpoints are now: after one was removed, or where a command
    /// was interrupted before it could tell.
    ///
    /// # Errors
    /// A map cannot be read or written.
    pub fn follow_announced(&self) -> Result<()> {
        self.announce(None)
    }

    /// The same, before an endpoint is registered with this ifindex: if the command ends in between, the next one finds something to follow.
    pub(super) fn announce(&self, coming: Option<(u32, &Endpoint)>) -> Result<()> {
        let mut config = self.config()?;
        let comes = coming.and_then(|(_, endpoint)| announced(endpoint));
        if comes.is_none() && config.features & feature::ANNOUNCED == 0 {
            return Ok(());
        }
        let known = self.endpoints()?;
        let stays = known.iter().filter(|(index, _)| coming.is_none_or(|(place, _)| *index != place));
        let wanted: BTreeMap<Addr, u32> = stays.filter_map(|(_, it)| announced(it)).chain(comes).collect();
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
