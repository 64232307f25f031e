//! Uplinks at which the host forwards for namespaces alone.

use forwarder_common::abi::{OWN_ADDRESSES, feature, uplink_flags};

use crate::Dataplane;
use fwd_base::Result;

impl Dataplane {
    /// Tells the programs whether there are any, and the addresses of the first ones: what is for these needs no look at the host's routes.
    pub(super) fn update_transit(&self) -> Result<()> {
        let mut config = self.config()?;
        let uplinks = self.uplinks()?.into_iter().map(|(_, uplink)| uplink);
        let restrained: Vec<_> = uplinks.filter(|uplink| uplink.flags & uplink_flags::NO_TRANSIT != 0).collect();
        let set = if restrained.is_empty() { 0 } else { feature::NO_TRANSIT };
        let features = config.features & !feature::NO_TRANSIT | set;
        let mut own = [0; OWN_ADDRESSES];
        for (known, uplink) in own.iter_mut().zip(&restrained) {
            *known = u32::from_ne_bytes(uplink.v4);
        }
        if (config.features, config.own_addresses) == (features, own) {
            return Ok(());
        }
        (config.features, config.own_addresses) = (features, own);
        self.set_config(&config)
    }
}
