//! The versions of CNI that are spoken.

use std::net::IpAddr;

use serde_json::{Value, json};

use crate::failure::{Code, Failure, Result};
use fwd_plugin::json;

/// A version of the specification, in the order in which they came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Version {
    /// The first with several interfaces in a result.
    V0_3_0,
    /// The same, mended.
    V0_3_1,
    /// CHECK.
    V0_4_0,
    /// Addresses without `version`.
    V1_0_0,
    /// GC, STATUS, the MTU in results.
    V1_1_0,
}

impl Version {
    /// All of them.
    pub(crate) const ALL: [Self; 5] = [Self::V0_3_0, Self::V0_3_1, Self::V0_4_0, Self::V1_0_0, Self::V1_1_0];
    /// What is answered where the runtime has said nothing that is understood: every libcni of these days reads it.
    pub(crate) const USUAL: Self = Self::V1_0_0;

    /// As it is written.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::V0_3_0 => "0.3.0",
            Self::V0_3_1 => "0.3.1",
            Self::V0_4_0 => "0.4.0",
            Self::V1_0_0 => "1.0.0",
            Self::V1_1_0 => "1.1.0",
        }
    }

    /// Tells the family of an address in a result, where this version has a key for that.
    pub(crate) fn tell_family(self, ip: &mut Value, address: IpAddr) {
        if self <= Self::V0_4_0 {
            ip["version"] = json!(if address.is_ipv4() { "4" } else { "6" });
        }
    }

    /// The version that a configuration has.
    ///
    /// # Errors
    /// It is not spoken here.
    pub(crate) fn of(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|version| version.name() == text).ok_or_else(|| {
            let known = Self::ALL.map(Self::name).join(", ");
            let msg = format!("cniVersion {text:?} is not spoken");
            Failure::new(Code::IncompatibleVersion, msg, format!("set cniVersion to one of {known}"))
        })
    }
}

/// What VERSION answers to who speaks the version in `input`, if that is one of ours.
pub(crate) fn answer(input: &[u8]) -> Value {
    let asked = serde_json::from_slice::<Value>(input).ok();
    let asked = asked.as_ref().and_then(|asked| json::get(asked, "cniVersion")?.as_str());
    document(asked.and_then(|asked| Version::of(asked).ok()).unwrap_or(Version::V1_1_0))
}

/// What VERSION answers to who speaks `spoken`.
pub(crate) fn document(spoken: Version) -> Value {
    json!({ "cniVersion": spoken.name(), "supportedVersions": Version::ALL.map(Version::name) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_known_by_their_names_and_others_are_refused_with_a_list() {
        for version in Version::ALL {
            assert_eq!(Version::of(version.name()).ok(), Some(version));
        }
        let refused = Version::of("0.2.0").expect_err("it is not spoken");
        assert_eq!(refused.code, 1);
        assert!(refused.details.contains("0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0"), "{}", refused.details);
    }
}
