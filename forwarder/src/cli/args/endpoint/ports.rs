//! Published ports: words into values.

use super::parsed;
use crate::{
    Result,
    dataplane::{PublishedPorts, Senders},
};

/// How ports are written.
const PORTS: &str = "[HOSTIP:]PORT[-END]:PORT[-END][/tcp|udp], such as 8080:80";
/// How those are written who may use them.
const SENDERS: &str = "prefixes of addresses with commas between them, such as 192.0.2.0/24,10.0.0.0/8";

/// Ports that are published, and who may use them.
pub(crate) fn parsed_ports(publish: &[String], from: Option<&str>) -> Result<Vec<PublishedPorts>> {
    let senders: Option<Senders> = from.map(|from| parsed("--publish-from", from, SENDERS)).transpose()?;
    let meant = |ports: PublishedPorts| PublishedPorts { senders: senders.unwrap_or(ports.senders), ..ports };
    publish.iter().map(|ports| parsed("--publish", ports, PORTS).map(meant)).collect()
}
