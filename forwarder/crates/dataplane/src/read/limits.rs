//! What endpoints may send and get in a second.

use forwarder_common::abi::{Endpoint, Limits, endpoint_flags, feature};

use crate::{Dataplane, object::maps};
use fwd_base::{Context as _, Result};

impl Dataplane {
    /// What an endpoint may send and get.
    ///
    /// # Errors
    /// The map cannot be read.
    pub fn limits(&self, endpoint: &Endpoint) -> Result<Limits> {
        if endpoint.flags & endpoint_flags::LIMITED == 0 {
            return Ok(Limits::default());
        }
        self.array(maps::LIMITS)?.get(&endpoint.counters, 0).doing("read", maps::LIMITS)
    }

    /// Registers an endpoint, or registers it anew, with what it may send and get from now on.
    ///
    /// # Errors
    /// A map cannot be written.
    pub fn put_limited_endpoint(&self, ifindex: u32, endpoint: &Endpoint, limits: &Limits) -> Result<()> {
        let limited = *limits != Limits::default();
        let flags = endpoint.flags & !endpoint_flags::LIMITED;
        let flags = if limited { flags | endpoint_flags::LIMITED } else { flags };
        // First what is asked for last: a packet meets the old limits or the new ones.
        self.set_limits(endpoint.counters, limits)?;
        self.put_endpoint(ifindex, &Endpoint { flags, ..*endpoint })?;
        if limited || endpoint.flags != flags { self.update_limited() } else { Ok(()) }
    }

    fn set_limits(&self, block: u32, limits: &Limits) -> Result<()> {
        self.array(maps::LIMITS)?.set(block, limits, 0).doing("write", maps::LIMITS)
    }

    /// Forgets the limits of an endpoint whose record is gone.
    pub(super) fn end_limits(&self, record: Option<&Endpoint>) -> Result<()> {
        let Some(record) = record.filter(|it| it.flags & endpoint_flags::LIMITED != 0) else { return Ok(()) };
        self.set_limits(record.counters, &Limits::default())?;
        self.update_limited()
    }

    /// Tells the programs whether some endpoint has limits.
    fn update_limited(&self) -> Result<()> {
        let limited = self.endpoints()?.iter().any(|(_, it)| it.flags & endpoint_flags::LIMITED != 0);
        let mut config = self.config()?;
        config.features = if limited { config.features | feature::RATE } else { config.features & !feature::RATE };
        self.set_config(&config)
    }
}
