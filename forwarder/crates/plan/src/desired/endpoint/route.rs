//! Routes inside of a namespace.

use std::{fmt, net::IpAddr, str::FromStr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// A route inside of a namespace, as it is written: `10.0.0.0/8`, or `10.0.0.0/8=10.77.0.5`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RouteRequest {
    /// Where it leads.
    pub to: IpNet,
    /// By which router; without one, by the gateway.
    pub via: Option<IpAddr>,
}

impl fmt::Display for RouteRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.via {
            Some(via) => write!(f, "{}={via}", self.to),
            None => write!(f, "{}", self.to),
        }
    }
}

impl FromStr for RouteRequest {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (to, via) = text.split_once('=').map_or((text, None), |(to, via)| (to, Some(via)));
        let destination = to.parse().map_err(|_| format!("{to:?} is no network, such as 10.0.0.0/8"))?;
        let router = |via: &str| via.parse().map_err(|_| format!("{via:?} is no address of a router"));
        Ok(Self { to: destination, via: via.map(router).transpose()? })
    }
}

impl TryFrom<String> for RouteRequest {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<RouteRequest> for String {
    fn from(route: RouteRequest) -> Self {
        route.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::RouteRequest;

    #[test]
    fn routes_are_read_as_they_are_written() {
        for text in ["10.0.0.0/8", "10.0.0.0/8=10.77.0.5", "fd00::/8=fd00:77::1"] {
            assert_eq!(text.parse::<RouteRequest>().expect("a route").to_string(), text);
        }
        for text in ["10.0.0.0", "10.0.0.0/8=", "=10.0.0.1", "10.0.0.0/33", ""] {
            assert!(text.parse::<RouteRequest>().is_err(), "{text}");
        }
    }
}
