//! The address of the host behind which an endpoint appears.

use std::net::Ipv4Addr;

use super::announced;
use crate::{Actual, EndpointRecord, desired::Asked, host_address, settled::Network};
use fwd_base::{Error, Kind, Result};

/// Settles it: what is asked for, or what the endpoint had before, which is `kept`.
///
/// # Errors
/// It is none of the host's, or nothing of the network appears behind it.
pub(super) fn settled(
    asked: &Asked,
    actual: &Actual,
    network: &Network,
    kept: Option<&EndpointRecord>,
) -> Result<Option<Ipv4Addr>> {
    let Some(source) = asked.source else {
        return if asked.announce { Err(announced::nothing()) } else { Ok(kept.and_then(|record| record.source)) };
    };
    let refuse = |kind, why: String| Error::new(kind, "use", format!("source {source}"), why);
    let name = &network.name;
    if network.gateway.is_none() {
        let why = format!("network {name} has no IPv4, of which alone a source can be asked for");
        return Err(refuse(Kind::Unsupported, why).remedy("leave out --source"));
    }
    if network.treatment.internal {
        let why = format!("network {name} is internal: nothing of it appears outside");
        return Err(
            refuse(Kind::Usage, why).remedy("leave out --source, or use a network that was made without --internal")
        );
    }
    if asked.announce {
        return announced::check(source, actual, network).map(|()| Some(source));
    }
    host_address::check(source.into(), actual).map_err(|(kind, why)| {
        let give = format!(
            "give it to the host first (`ip addr add {source}/32 dev INTERFACE`), have it announced (--announce), or "
        );
        let give = if kind == Kind::NotFound { give.as_str() } else { "" };
        refuse(kind, why).remedy(format!("{give}name one that it has (`ip -4 address`)"))
    })?;
    Ok(Some(source))
}
