//! What dockerd can ask for, and what is done then.

mod endpoint;
mod network;
mod ports;

use serde_json::{Value, json};

use crate::{
    api::{self, OfEndpoint},
    driver::Driver,
    refusal::Answered,
};

/// A call, by the path of its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Activate,
    GetCapabilities,
    AllocateNetwork,
    FreeNetwork,
    CreateNetwork,
    DeleteNetwork,
    CreateEndpoint,
    EndpointOperInfo,
    DeleteEndpoint,
    Join,
    Leave,
    ProgramExternalConnectivity,
    RevokeExternalConnectivity,
    DiscoverNew,
    DiscoverDelete,
}

impl Call {
    /// All of them, with their paths (libnetwork, docs/remote.md).
    const ALL: [(Self, &'static str); 15] = [
        (Self::Activate, "/Plugin.Activate"),
        (Self::GetCapabilities, "/NetworkDriver.GetCapabilities"),
        (Self::AllocateNetwork, "/NetworkDriver.AllocateNetwork"),
        (Self::FreeNetwork, "/NetworkDriver.FreeNetwork"),
        (Self::CreateNetwork, "/NetworkDriver.CreateNetwork"),
        (Self::DeleteNetwork, "/NetworkDriver.DeleteNetwork"),
        (Self::CreateEndpoint, "/NetworkDriver.CreateEndpoint"),
        (Self::EndpointOperInfo, "/NetworkDriver.EndpointOperInfo"),
        (Self::DeleteEndpoint, "/NetworkDriver.DeleteEndpoint"),
        (Self::Join, "/NetworkDriver.Join"),
        (Self::Leave, "/NetworkDriver.Leave"),
        (Self::ProgramExternalConnectivity, "/NetworkDriver.ProgramExternalConnectivity"),
        (Self::RevokeExternalConnectivity, "/NetworkDriver.RevokeExternalConnectivity"),
        (Self::DiscoverNew, "/NetworkDriver.DiscoverNew"),
        (Self::DiscoverDelete, "/NetworkDriver.DiscoverDelete"),
    ];

    /// The call that has this path.
    pub(crate) fn of_path(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(_, known)| *known == path).map(|(call, _)| call)
    }
}

/// Does what is asked for, and says what docker is answered.
///
/// # Errors
/// The body is no such call, or it cannot be done.
pub(crate) fn answer(driver: &Driver, call: Call, body: &[u8]) -> Answered<Value> {
    match call {
        // These two come without a body.
        Call::Activate => Ok(json!({ "Implements": ["NetworkDriver"] })),
        Call::GetCapabilities => Ok(json!({ "Scope": "local", "ConnectivityScope": "local" })),
        Call::CreateNetwork => Ok(network::create(driver, api::read(body)?)?),
        Call::DeleteNetwork => Ok(network::delete(driver, &api::read(body)?)?),
        Call::CreateEndpoint => Ok(endpoint::create(driver, api::read(body)?)?),
        Call::EndpointOperInfo => Ok(endpoint::info(driver, &api::read(body)?)?),
        Call::DeleteEndpoint => Ok(endpoint::delete(driver, &api::read(body)?)?),
        Call::Join => Ok(endpoint::join(driver, &api::read(body)?)?),
        Call::ProgramExternalConnectivity => Ok(ports::publish(driver, api::read(body)?)?),
        Call::Leave | Call::RevokeExternalConnectivity => Ok(ports::withdraw(driver, &api::read::<OfEndpoint>(body)?)?),
        // Of a swarm, which asks no driver of a single host; and of other hosts, of which there are none.
        Call::AllocateNetwork | Call::FreeNetwork | Call::DiscoverNew | Call::DiscoverDelete => {
            let _any: Value = api::read(body)?;
            Ok(json!({}))
        }
    }
}

/// Takes back what a call has made.
///
/// # Errors
/// The body is no such call, or something cannot be removed.
pub(crate) fn take_back(driver: &Driver, call: Call, body: &[u8]) -> Answered<()> {
    match call {
        Call::CreateNetwork => _ = network::delete(driver, &api::read(body)?)?,
        Call::CreateEndpoint => _ = endpoint::delete(driver, &api::read(body)?)?,
        Call::Join => endpoint::detach(driver, &api::read::<OfEndpoint>(body)?.endpoint)?,
        Call::ProgramExternalConnectivity => _ = ports::withdraw(driver, &api::read(body)?)?,
        // These only tell or remove; what is removed is gone in either case.
        Call::Activate
        | Call::GetCapabilities
        | Call::AllocateNetwork
        | Call::FreeNetwork
        | Call::DeleteNetwork
        | Call::EndpointOperInfo
        | Call::DeleteEndpoint
        | Call::Leave
        | Call::RevokeExternalConnectivity
        | Call::DiscoverNew
        | Call::DiscoverDelete => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_told_by_their_paths() {
        for (call, path) in Call::ALL {
            assert_eq!(Call::of_path(path), Some(call));
        }
        for path in ["/", "/NetworkDriver.Jump", "/networkdriver.join", "/NetworkDriver.Join/"] {
            assert_eq!(Call::of_path(path), None, "{path}");
        }
    }
}
