//! Whom a server of one load lets in.

use std::net::IpAddr;

use super::secret::Key;
use fwd_base::Result;

/// The client of one load.
#[derive(Clone, Copy, Debug)]
pub(super) struct Guest {
    key: Key,
    from: Option<IpAddr>,
}

impl Guest {
    /// In a sandbox, where nobody else is.
    pub(super) fn in_sandbox() -> Result<Self> {
        Ok(Self { key: Key::random()?, from: None })
    }

    /// Of a server that anybody may reach: whoever asked for the load from `address`.
    pub(super) fn from_afar(address: IpAddr) -> Result<Self> {
        Ok(Self { key: Key::random()?, from: Some(address) })
    }

    /// With which the load begins.
    pub(super) fn key(&self) -> Key {
        self.key
    }

    /// Whether others may reach the server.
    pub(super) fn is_among_others(&self) -> bool {
        self.from.is_some()
    }

    /// Whether the load may come from there. Saves others the time in which their key is waited for.
    pub(super) fn may_come_from(&self, address: IpAddr) -> bool {
        self.from.is_none_or(|from| from == address)
    }

    /// Whether that is the guest's key.
    pub(super) fn has(&self, said: &[u8]) -> bool {
        self.key.is(said)
    }
}
