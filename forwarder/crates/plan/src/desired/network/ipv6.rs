//! IPv6 of a network, beside its IPv4.

use serde::{Deserialize, Serialize};

/// What a network has of IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ipv6 {
    /// Addresses of its own, translated to one of the uplink's.
    Masquerade,
    /// Addresses that the outside routes to this host, which are not translated.
    Route,
    /// Nothing.
    Off,
}

impl Ipv6 {
    /// Every way.
    pub const ALL: [Self; 3] = [Self::Masquerade, Self::Route, Self::Off];

    /// `masquerade`, `route` or `off`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Masquerade => "masquerade",
            Self::Route => "route",
            Self::Off => "off",
        }
    }

    /// What it is, for the help and the README.
    #[must_use]
    pub const fn what(self) -> &'static str {
        match self {
            Self::Masquerade => "behind the uplink's address",
            Self::Route => "by addresses that are routed here (--subnet6)",
            Self::Off => "none",
        }
    }
}
