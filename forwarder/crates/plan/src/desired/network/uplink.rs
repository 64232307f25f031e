//! What leads outside of a network.

use serde::{Deserialize, Serialize};

use fwd_base::{Error, Kind, Result, text::option};

/// What leads outside of a network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UplinkChoice {
    /// The interface that it has, else that of the default route.
    #[default]
    Auto,
    /// As `Auto`, and where the host has no default route whatever other routes lead by, or nothing until there is one.
    Any,
    /// The interface of this name.
    Interface(String),
    /// Nothing does: the network is internal.
    None,
}

impl From<&str> for UplinkChoice {
    fn from(interface: &str) -> Self {
        Self::Interface(interface.into())
    }
}

impl UplinkChoice {
    /// What is chosen where an interface may be named, and a network may be internal.
    ///
    /// # Errors
    /// [`Kind::Usage`]: it is both.
    pub fn of(uplink: Option<String>, internal: bool) -> Result<Self> {
        match (uplink, internal) {
            (Some(uplink), true) => {
                let (option, why) = (option("--uplink", &uplink), "an internal network (--internal) has no uplink");
                Err(Error::new(Kind::Usage, "use", option, why).remedy("leave one of the two out"))
            }
            (Some(uplink), false) => Ok(Self::Interface(uplink)),
            (None, true) => Ok(Self::None),
            (None, false) => Ok(Self::Auto),
        }
    }

    /// The same, where any way out will do if none is named.
    #[must_use]
    pub fn or_any(self) -> Self {
        if self == Self::Auto { Self::Any } else { self }
    }

    /// The interface that is named, if one is.
    #[must_use]
    pub fn interface(&self) -> Option<&str> {
        match self {
            Self::Interface(name) => Some(name),
            Self::Auto | Self::Any | Self::None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::UplinkChoice;
    use fwd_base::Kind;

    #[test]
    fn an_internal_network_has_no_uplink() {
        let choice = |uplink: Option<&str>, internal| UplinkChoice::of(uplink.map(Into::into), internal);
        assert_eq!(choice(None, false).expect("it can be"), UplinkChoice::Auto);
        assert_eq!(choice(None, false).expect("it can be").or_any(), UplinkChoice::Any);
        assert_eq!(choice(None, true).expect("it can be").or_any(), UplinkChoice::None);
        assert_eq!(choice(Some("eth1"), false).expect("it can be").interface(), Some("eth1"));
        let error = choice(Some("eth 1"), true).expect_err("it is both");
        assert_eq!(error.kind, Kind::Usage);
        let text = error.to_string();
        assert!(text.contains("--uplink 'eth 1'") && text.contains("--internal"), "{text}");
    }
}
