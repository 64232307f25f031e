//! IPv4 of a network.

use serde::{Deserialize, Serialize};

/// What a network has of IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ipv4 {
    /// Addresses of its own, translated to one of the uplink's.
    On,
    /// Nothing: it has IPv6 alone.
    Off,
}

impl Ipv4 {
    /// Every way.
    pub const ALL: [Self; 2] = [Self::On, Self::Off];

    /// `on` or `off`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Off => "off",
        }
    }

    /// What it is, for the help and the README.
    #[must_use]
    pub const fn what(self) -> &'static str {
        match self {
            Self::On => "addresses of its own",
            Self::Off => "none, but IPv6 alone",
        }
    }

    /// What a network has.
    #[must_use]
    pub const fn of(has_addresses: bool) -> Self {
        if has_addresses { Self::On } else { Self::Off }
    }
}
