//! A network with values instead of words. What is not made is refused here, never passed over.

mod options;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

pub(crate) use self::options::{NetworkOptions, of_container};
use crate::{input, refusal};
use fwd_base::Result;
use fwd_dataplane::EndpointId;
use fwd_kernel::netns::Name;
use fwd_plan::{Caller, EndpointOptions, Ipv4, Ipv6, RouteRequest, TargetRef, UpRequest, UplinkChoice};

/// A network.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    /// What podman calls it.
    pub(crate) name: String,
    /// What it is called here; its bridge has the same name.
    pub(crate) network: Name,
    /// Its addresses, of either family.
    pub(crate) addresses: Addresses,
    /// Nothing leaves it.
    pub(crate) internal: bool,
    /// A name server answers at its gateway.
    pub(crate) dns: bool,
    /// Routes inside of its containers.
    pub(crate) routes: Vec<RouteRequest>,
    /// Everything else.
    pub(crate) options: NetworkOptions,
}

/// Addresses of a network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Addresses {
    /// Of IPv4.
    pub(crate) subnet: Option<Ipv4Net>,
    /// Address of its gateway.
    pub(crate) gateway: Option<Ipv4Addr>,
    /// The first and the last address that may be chosen.
    pub(crate) range: Option<(Ipv4Addr, Ipv4Addr)>,
    /// Of IPv6.
    pub(crate) subnet6: Option<Ipv6Net>,
}

impl Network {
    /// # Errors
    /// It asks for what is not made.
    pub(crate) fn of(input: &input::Network) -> Result<Self> {
        let given = input.network_interface.as_ref().filter(|name| !name.is_empty()).unwrap_or(&input.name);
        let ipam = input.ipam_options.get("driver").map_or("", String::as_str);
        if !matches!(ipam, "" | "host-local") {
            let why = "podman chooses addresses (host-local), out of the subnets of the network";
            return Err(refusal(format!("--ipam-driver {ipam}"), why, "leave it out"));
        }
        if let Some(server) = input.network_dns_servers.first() {
            let why = "the name server of a network asks whom the host asks, by its resolv.conf";
            return Err(refusal(format!("--dns {server}"), why, "leave it out, or give it to `podman run`"));
        }
        Ok(Self {
            name: input.name.clone(),
            network: Name::of("a network", given)?,
            addresses: Addresses::of(&input.subnets)?,
            internal: input.internal,
            dns: input.dns_enabled,
            routes: input.routes.iter().map(route).collect::<Result<_>>()?,
            options: NetworkOptions::of(&input.options)?,
        })
    }

    /// Whether the network has IPv4: unless it names addresses of IPv6 alone.
    pub(crate) fn ipv4(&self) -> Ipv4 {
        let Addresses { subnet, subnet6, .. } = self.addresses;
        Ipv4::of(subnet.is_some() || subnet6.is_none())
    }

    /// What is asked for so that a namespace is in the network, as far as the network says it.
    ///
    /// # Errors
    /// It is internal, and has an uplink.
    pub(crate) fn up(&self, target: TargetRef, endpoint: EndpointOptions, id: EndpointId) -> Result<UpRequest> {
        let NetworkOptions { uplink, network, endpoint: _ } = &self.options;
        let Addresses { subnet, gateway, range, subnet6 } = self.addresses;
        let options = fwd_plan::Network {
            uplink: UplinkChoice::of(uplink.clone(), self.internal)?.or_any(),
            subnet,
            subnet6,
            gateway,
            ipv4: Some(self.ipv4()),
            ipv6: Some(self.ipv6()),
            dns: self.dns,
            ..network.clone()
        };
        Ok(UpRequest {
            ifname: Some(id.ifname.clone()),
            caller: Some(Caller { id, network: self.name.clone() }),
            network: Some(self.network.clone()),
            options,
            endpoint: EndpointOptions { range, routes: self.routes.clone(), ..endpoint },
            ..UpRequest::new(target)
        })
    }

    /// Whether the network has IPv6, and how.
    pub(crate) fn ipv6(&self) -> Ipv6 {
        match (self.addresses.subnet6, self.internal) {
            (None, _) => Ipv6::Off,
            (Some(_), false) => Ipv6::Masquerade,
            // Where nothing leaves nothing is translated.
            (Some(_), true) => Ipv6::Route,
        }
    }
}

impl Addresses {
    /// # Errors
    /// There are two of a family, or the gateway is another one than there can be.
    fn of(subnets: &[input::Subnet]) -> Result<Self> {
        let mut read = Self::default();
        for input::Subnet { subnet, gateway, lease_range } in subnets {
            let again = match subnet {
                IpNet::V4(subnet) => read.subnet.replace(*subnet).is_some(),
                IpNet::V6(subnet) => read.subnet6.replace(*subnet).is_some(),
            };
            if again {
                let why = "a network has one subnet of each family";
                return Err(refusal(
                    format!("--subnet {subnet}"),
                    why,
                    "make two networks: a container may be in both",
                ));
            }
            match (subnet, gateway) {
                (IpNet::V4(_), Some(IpAddr::V4(gateway))) => read.gateway = Some(*gateway),
                (IpNet::V6(subnet), Some(IpAddr::V6(gateway))) if *gateway == first6(*subnet) => {}
                (_, None) => {}
                (_, Some(gateway)) => {
                    let why = format!("the gateway of {subnet} has another address");
                    let remedy = "leave it out: the first address of the subnet is taken";
                    return Err(refusal(format!("--gateway {gateway}"), why, remedy));
                }
            }
            if let (IpNet::V4(subnet), Some(range)) = (subnet, lease_range) {
                let v4 = |address: Option<IpAddr>, usual: Ipv4Addr| match address {
                    Some(IpAddr::V4(address)) => address,
                    _ => usual,
                };
                read.range = Some((v4(range.start_ip, subnet.network()), v4(range.end_ip, subnet.broadcast())));
            }
        }
        Ok(read)
    }
}

/// The address of the gateway of a subnet of IPv6.
pub(crate) fn first6(subnet: Ipv6Net) -> Ipv6Addr {
    Ipv6Addr::from_bits(subnet.network().to_bits() | 1)
}

/// # Errors
/// It is no plain route by a router.
fn route(route: &input::Route) -> Result<RouteRequest> {
    let input::Route { destination, gateway, metric, route_type } = route;
    let what = format!("--route {destination}");
    if let Some(kind) = route_type.as_deref().filter(|kind| !matches!(*kind, "" | "unicast")) {
        return Err(refusal(what, format!("routes of the type {kind} are not made"), "leave it out"));
    }
    if let Some(metric) = metric {
        let why = format!("routes inside have no metric of their own, such as {metric}");
        return Err(refusal(what, why, "leave the metric out; `-o metric=N` is that of the default route"));
    }
    Ok(RouteRequest { to: *destination, via: *gateway })
}

#[cfg(test)]
mod tests;
