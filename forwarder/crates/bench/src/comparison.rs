//! What is compared: the ways out of a namespace, or in to a published port, and by which protocol.

use serde::{Deserialize, Serialize};

use super::Path;

/// The protocol that addresses are of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "u8", try_from = "u8")]
pub enum Family {
    /// IPv4.
    #[default]
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// As typed after `--family`: `6`.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::V4 => "4",
            Self::V6 => "6",
        }
    }
}

impl From<Family> for u8 {
    fn from(family: Family) -> Self {
        match family {
            Family::V4 => 4,
            Family::V6 => 6,
        }
    }
}

impl TryFrom<u8> for Family {
    type Error = String;

    fn try_from(number: u8) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|family| u8::from(*family) == number);
        found.ok_or_else(|| format!("{number} is neither 4 nor 6"))
    }
}

/// Which paths are compared: those of packets that go one way, by one protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// By which protocol.
    pub family: Family,
    /// From outside to a published port; else from a namespace to a server outside.
    pub published: bool,
}

/// Those that are set up for IPv6, the way out and to a published port.
const IPV6: [Path; 3] = [Path::Host, Path::FwdTc, Path::BridgeMasquerade];
const PUBLISHED_IPV6: [Path; 3] = [Path::Host, Path::FwdTc, Path::DockerProxy];

impl Comparison {
    /// The paths that go this way, in the order in which they are shown.
    #[must_use]
    pub const fn paths(self) -> &'static [Path] {
        match (self.published, self.family) {
            (false, Family::V4) => &Path::ALL,
            (false, Family::V6) => &IPV6,
            (true, Family::V4) => &Path::PUBLISHED,
            (true, Family::V6) => &PUBLISHED_IPV6,
        }
    }

    /// What the kernel alone does with a bridge: the path that others' overhead is told as a share of.
    #[must_use]
    pub const fn bridge(self) -> Path {
        if self.published { Path::NftDnat } else { Path::BridgeMasquerade }
    }
}

#[cfg(test)]
mod tests {
    use super::{Comparison, Family, Path};

    #[test]
    fn family_is_a_number_in_json() {
        for family in Family::ALL {
            let json = serde_json::to_string(&family).expect("a number");
            assert_eq!(json, family.id());
            assert_eq!(serde_json::from_str::<Family>(&json).expect("a family"), family);
        }
        assert!(serde_json::from_str::<Family>("5").is_err());
    }

    #[test]
    fn every_path_goes_some_way_beside_the_host_and_the_bridge() {
        let ways = [(Family::V4, false), (Family::V6, false), (Family::V4, true), (Family::V6, true)];
        let ways = ways.map(|(family, published)| Comparison { family, published });
        for way in ways {
            assert!(way.paths().contains(&Path::Host) && way.paths().contains(&Path::FwdTc), "{way:?}");
            // The kernel's own NAT of IPv6 is set up for no published port.
            let is_compared = way.paths().contains(&way.bridge());
            assert_eq!(is_compared, !(way.published && way.family == Family::V6), "{way:?}");
        }
        assert!(Path::every().all(|path| ways.iter().any(|way| way.paths().contains(&path))));
    }
}
