//! Ports of the host that lead to a container.

use std::net::IpAddr;

use crate::{input::PortMapping, refusal};
use fwd_base::Result;
use fwd_dataplane::{PublishedPorts, Senders, Transport};

/// What the mappings of a container publish.
///
/// # Errors
/// One cannot be.
pub(crate) fn published(mappings: &[PortMapping]) -> Result<Vec<PublishedPorts>> {
    let mut published = Vec::new();
    for mapping in mappings {
        for protocol in mapping.protocol.split(',') {
            let ports = one(mapping, protocol.trim())?;
            if !published.contains(&ports) {
                published.push(ports);
            }
        }
    }
    Ok(published)
}

fn one(mapping: &PortMapping, protocol: &str) -> Result<PublishedPorts> {
    let PortMapping { host_ip, host_port, container_port, protocol: _, range } = mapping;
    let refuse =
        |why: &str| refusal(format!("port {host_port}:{container_port}/{protocol}"), why, "publish another one");
    let transport = match protocol.to_lowercase().as_str() {
        "" | "tcp" => Transport::Tcp,
        "udp" => Transport::Udp,
        _ => return Err(refuse("ports of tcp and udp are published")),
    };
    let host = match host_ip.as_str() {
        "" => None,
        text => Some(text.parse::<IpAddr>().map_err(|_| refuse(&format!("{text} is no address of the host")))?),
    };
    let more = range.saturating_sub(1);
    if *host_port == 0 || *container_port == 0 || container_port.checked_add(more).is_none() {
        return Err(refuse("ports are 1 to 65535"));
    }
    let last = host_port.checked_add(more).ok_or_else(|| refuse("ports are 1 to 65535"))?;
    Ok(PublishedPorts {
        host,
        first: *host_port,
        last,
        inside: *container_port,
        transport,
        senders: Senders::default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(host_ip: &str, host_port: u16, container_port: u16, protocol: &str, range: u16) -> PortMapping {
        PortMapping { host_ip: host_ip.into(), host_port, container_port, protocol: protocol.into(), range }
    }

    #[test]
    fn mappings_become_ports_of_each_protocol() {
        let mappings =
            [mapping("", 8080, 80, "tcp,udp", 3), mapping("127.0.0.1", 53, 53, "udp", 0), mapping("", 8080, 80, "", 3)];
        let published: Vec<String> = published(&mappings).expect("ports").iter().map(ToString::to_string).collect();
        assert_eq!(published, ["8080-8082:80-82/tcp", "8080-8082:80-82/udp", "127.0.0.1:53:53/udp"]);
        for wrong in [
            mapping("", 80, 80, "sctp", 1),
            mapping("host", 80, 80, "tcp", 1),
            mapping("", 0, 80, "tcp", 1),
            mapping("", 65_535, 80, "tcp", 2),
            mapping("", 80, 65_535, "tcp", 2),
        ] {
            let error = super::published(std::slice::from_ref(&wrong)).expect_err("it cannot be");
            assert!(error.to_string().contains(&format!("port {}:", wrong.host_port)), "{error}");
        }
    }
}
