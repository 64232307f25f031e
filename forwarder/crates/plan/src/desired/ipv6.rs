//! IPv6 of a network, beside its IPv4.

use serde::{Deserialize, Serialize};

/// What a network has of IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ipv6 {
    /// Addresses of its own, translated to one of the uplink's.
    Masquerade,
    /// Nothing.
    Off,
}

impl Ipv6 {
    /// Every way.
    pub const ALL: [Self; 2] = [Self::Masquerade, Self::Off];

    /// `masquerade` or `off`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Masquerade => "masquerade",
            Self::Off => "off",
        }
    }

    /// What it is, for the help and the README.
    #[must_use]
    pub const fn what(self) -> &'static str {
        match self {
            Self::Masquerade => "behind the uplink's address",
            Self::Off => "none",
        }
    }
}
