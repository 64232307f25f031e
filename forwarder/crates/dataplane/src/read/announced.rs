//! The addresses for which the programs answer, because the host does not have them: what endpoints say by their records.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
};

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

    /// The addresses that are announced at the interface with this index, of both families.
    ///
    /// # Errors
    /// The map cannot be read.
    pub fn announced_at(&self, index: u32) -> Result<Vec<IpAddr>> {
        if self.config()?.features & feature::ANNOUNCED == 0 {
            return Ok(Vec::new());
        }
        let here = self.entries(maps::ANNOUNCED)?.into_iter().filter(|(_, at)| *at == index);
        Ok(here.map(|(addr, _)| Ipv6Addr::from(addr).to_canonical()).collect())
    }

    /// The same, before an endpoint is registered with this ifindex: if the command ends in between, the next one finds something to follow.
    pub(super) fn announce(&self, coming: Option<(u32, &Endpoint)>) -> Result<()> {
        let mut config = self.config()?;
        let comes: Vec<(Addr, u32)> = coming.into_iter().flat_map(|(_, endpoint)| announced(endpoint)).collect();
        if comes.is_empty() && config.features & feature::ANNOUNCED == 0 {
            return Ok(());
        }
        let known = self.endpoints()?;
        let stays = known.iter().filter(|(index, _)| coming.is_none_or(|(place, _)| *index != place));
        let wanted: BTreeMap<Addr, u32> = stays.flat_map(|(_, it)| announced(it)).chain(comes).collect();
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

/// The addresses of an endpoint that are announced, each with the uplink at which it is.
fn announced(endpoint: &Endpoint) -> impl Iterator<Item = (Addr, u32)> + use<> {
    let Endpoint { flags, source, sources, source_v6, sources_v6, uplink, .. } = *endpoint;
    let of = |flag, first: Addr, count: u16| {
        let is = flags & flag != 0 && first != mapped([0; 4]) && first != [0; 16];
        // They differ in the last four bytes alone.
        let all = (0..u128::from(count.max(1))).map(move |place| (u128::from_be_bytes(first) + place).to_be_bytes());
        is.then_some(all).into_iter().flatten()
    };
    let v4 = of(endpoint_flags::ANNOUNCED, mapped(source), sources);
    v4.chain(of(endpoint_flags::ANNOUNCED_V6, source_v6, sources_v6)).map(move |addr| (addr, uplink))
}
