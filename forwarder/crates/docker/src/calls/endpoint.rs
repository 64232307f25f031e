//! Endpoints: docker asks for one, has it join a container, and removes it when the container has left.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::PathBuf,
};

use ipnet::IpNet;
use serde_json::{Value, json};

use super::network::ensure;
use crate::{
    api::{CreateEndpoint, Id, Interface, InterfaceName, Join, Joined, OfEndpoint},
    driver::{Driver, identity},
    options,
    store::{NotedEndpoint, NotedNetwork},
};
use fwd_base::{Context as _, Error, Kind, Result, text};
use fwd_engine::execute::{Unobserved, UpResult, detach_others, down, up_and_look};
use fwd_plan::{Caller, EndpointOptions, HardwareAddress, Scope, TargetRef, UpRequest, UplinkChoice, endpoint_mac};
use std::str::FromStr as _;

/// What the name of an interface in a container begins with.
const INSIDE: &str = "eth";

/// Notes an endpoint, and chooses its hardware address if docker has not.
///
/// # Errors
/// Its network is not known, or it has no address.
pub(super) fn create(driver: &Driver, asked: CreateEndpoint) -> Result<Value> {
    let CreateEndpoint { of: OfEndpoint { network, endpoint }, interface } = asked;
    ensure(driver, &driver.store.get(&network)?)?;
    let main = match addresses(&endpoint, &interface)? {
        (Some(address), _) => IpAddr::V4(address),
        (None, address) => IpAddr::V6(address.unwrap_or(Ipv6Addr::UNSPECIFIED)),
    };
    let chosen = interface.mac_address.is_empty().then(|| text::mac(endpoint_mac(main)));
    let answered = chosen.as_ref().map_or_else(|| json!({}), |mac| json!({ "MacAddress": mac }));
    let mac_address = chosen.unwrap_or_else(|| interface.mac_address.clone());
    mac(&mac_address)?;
    let noted = NotedEndpoint { interface: Interface { mac_address, ..interface }, ports: Vec::new() };
    driver.store.change(&network, |network| network.add(endpoint, noted))?;
    Ok(json!({ "Interface": answered }))
}

/// What there is to tell of an endpoint: the ports that lead to it.
///
/// # Errors
/// It is not known.
pub(super) fn info(driver: &Driver, asked: &OfEndpoint) -> Result<Value> {
    let noted = driver.store.get(&asked.network)?;
    let endpoint = known(&noted, &asked.endpoint)?;
    Ok(json!({ "Value": { crate::api::PORT_MAP: endpoint.ports } }))
}

/// Makes the veth pair. The container's namespace is not there yet: the interface for it waits in the host's, from where docker moves it, gives
/// it its name and addresses, and sets it up.
///
/// # Errors
/// It is not known, or cannot be attached.
pub(super) fn join(driver: &Driver, asked: &Join) -> Result<Value> {
    let Join { of: OfEndpoint { network, endpoint }, sandbox } = asked;
    let noted = driver.store.get(network)?;
    let request = request(&noted, endpoint, sandbox)?;
    // One that has left without being removed comes again.
    detach(driver, endpoint)?;
    let joined = up_and_look(&driver.context, &request, &mut Unobserved, |result, plane| {
        let UpResult { endpoint: (_, endpoint), warnings, .. } = result;
        warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        let network = plane.network(endpoint.record.network)?;
        Ok(network.map(|network| (Ipv4Addr::from(network.gateway_v4), Ipv6Addr::from(network.gateway_v6))))
    });
    let (_, gateways) = joined?;
    driver.await_container();
    let internal = request.options.uplink == UplinkChoice::None;
    let (v4, v6) = gateways.unwrap_or((Ipv4Addr::UNSPECIFIED, Ipv6Addr::UNSPECIFIED));
    let way = |gateway: IpAddr| (!internal && !gateway.is_unspecified()).then_some(gateway);
    let interface_name = InterfaceName { src_name: identity(endpoint).ifname, dst_prefix: INSIDE };
    let (gateway, gateway6) = (way(v4.into()), way(v6.into()));
    let answer = Joined { interface_name, gateway, gateway6, disable_gateway_service: internal };
    serde_json::to_value(answer).doing("write", "the answer to Join")
}

/// Removes the veth pair with everything that leads to it, and forgets the endpoint. What is not there is no error.
///
/// # Errors
/// Something cannot be removed.
pub(super) fn delete(driver: &Driver, asked: &OfEndpoint) -> Result<Value> {
    detach(driver, &asked.endpoint)?;
    if driver.store.find(&asked.network)?.is_some() {
        driver.store.change(&asked.network, |network| _ = network.endpoints.remove(&asked.endpoint))?;
    }
    Ok(json!({}))
}

/// Removes what is up of an endpoint. What is not there is no error.
///
/// # Errors
/// Something cannot be removed.
pub(super) fn detach(driver: &Driver, endpoint: &Id) -> Result<()> {
    // Beside another version nothing else can be changed, and nothing else has to be.
    if detach_others(&driver.context, &identity(endpoint))? {
        return Ok(());
    }
    // Meanwhile its namespace may be learned, by which it is called otherwise: that happens once.
    for _ in 0..2 {
        let Some((_, found)) = driver.find(endpoint)? else { break };
        let scope = Scope { endpoint: Some(found.metadata.id), ..Scope::default() };
        let gone = down(&driver.context, &scope, &mut Unobserved)?;
        gone.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    }
    Ok(())
}

/// What is noted of an endpoint.
fn known<'a>(noted: &'a NotedNetwork, endpoint: &Id) -> Result<&'a NotedEndpoint> {
    noted.endpoints.get(endpoint).ok_or_else(|| {
        let object = format!("docker's endpoint {}", endpoint.short(12));
        let error = Error::new(Kind::NotFound, "find", object, format!("it is not in network {}", noted.name));
        error.remedy("disconnect the container from the network, and connect it again")
    })
}

/// The request by which a noted endpoint is attached.
///
/// # Errors
/// It is not noted, or its sandbox has no path.
fn request(noted: &NotedNetwork, endpoint: &Id, sandbox: &str) -> Result<UpRequest> {
    let known = known(noted, endpoint)?;
    let id = identity(endpoint);
    if !sandbox.starts_with('/') {
        let why = format!("SandboxKey is {sandbox:?}, and no path");
        return Err(Error::new(Kind::Usage, "attach", format!("endpoint {id}"), why)
            .remedy("dockerd has to say where the container's namespace is going to be"));
    }
    let network = options::network(&noted.network)?;
    let (ip, ip6) = addresses(endpoint, &known.interface)?;
    Ok(UpRequest {
        caller: Some(Caller { id: id.clone(), network: noted.network.network.as_str().into() }),
        ifname: Some(id.ifname),
        network: Some(network.name),
        options: network.network,
        endpoint: EndpointOptions {
            ip,
            ip6,
            mac: Some(mac(&known.interface.mac_address)?),
            ..EndpointOptions::default()
        },
        ..UpRequest::new(TargetRef::Awaited(PathBuf::from(sandbox)))
    })
}

/// The addresses of an endpoint, of which there is one at least.
fn addresses(endpoint: &Id, interface: &Interface) -> Result<(Option<Ipv4Addr>, Option<Ipv6Addr>)> {
    let ip = match interface.address {
        Some(IpNet::V4(address)) => Some(address.addr()),
        Some(IpNet::V6(_)) | None => None,
    };
    let ip6 = match interface.address6 {
        Some(IpNet::V6(address)) => Some(address.addr()),
        Some(IpNet::V4(_)) | None => None,
    };
    if ip.is_none() && ip6.is_none() {
        let object = format!("docker's endpoint {}", endpoint.short(12));
        return Err(Error::new(Kind::Unsupported, "make", object, "docker has given it no address")
            .remedy("use a network with a subnet"));
    }
    Ok((ip, ip6))
}

fn mac(text: &str) -> Result<HardwareAddress> {
    HardwareAddress::from_str(text).map_err(|why| {
        Error::new(Kind::Usage, "use", format!("hardware address {text:?}"), why.to_string())
            .remedy("give another: --mac-address 02:00:00:00:00:01")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noted() -> (NotedNetwork, Id) {
        let endpoint = Id::try_from("e1".repeat(32)).expect("an id");
        let request = json!({
            "NetworkID": "a1".repeat(32), "Options": { "com.docker.network.generic": { "fwd.network": "web" } },
            "IPv4Data": [{ "Pool": "10.80.0.0/24", "Gateway": "10.80.0.1/24" }],
            "IPv6Data": [{ "Pool": "fd00:80::/64", "Gateway": "fd00:80::1/64" }],
        });
        let mut noted = NotedNetwork::new(serde_json::from_value(request).expect("a network"), "web".into());
        let interface =
            json!({ "Address": "10.80.0.2/24", "AddressIPv6": "fd00:80::2/64", "MacAddress": "02:42:0a:50:00:02" });
        let interface = serde_json::from_value(interface).expect("an interface");
        noted.endpoints.insert(endpoint.clone(), NotedEndpoint { interface, ports: Vec::new() });
        (noted, endpoint)
    }

    #[test]
    fn an_endpoint_is_attached_as_it_was_noted_where_its_sandbox_is_going_to_be() {
        let (noted, endpoint) = noted();
        let request = request(&noted, &endpoint, "/var/run/docker/netns/0123").expect("it can be");
        assert_eq!(request.target, TargetRef::Awaited("/var/run/docker/netns/0123".into()));
        assert_eq!(request.ifname.as_deref(), Some("fwdpe1e1e1e1e1e"));
        assert_eq!(
            (request.endpoint.ip, request.options.gateway),
            (Some([10, 80, 0, 2].into()), Some([10, 80, 0, 1].into()))
        );
        assert_eq!(request.endpoint.ip6, Some("fd00:80::2".parse().expect("an address")));
        assert_eq!(request.caller.map(|it| it.id.ifname), request.ifname);
        assert_eq!(request.network.map(|it| it.to_string()), Some("web".into()));
    }

    #[test]
    fn an_endpoint_has_the_addresses_that_docker_has_given_it() {
        let (mut noted, endpoint) = noted();
        let interface = json!({ "AddressIPv6": "fd00:80::2/64", "MacAddress": "02:42:0a:50:00:02" });
        let interface: Interface = serde_json::from_value(interface).expect("an interface");
        noted.network.v4.clear();
        noted.endpoints.insert(endpoint.clone(), NotedEndpoint { interface, ports: Vec::new() });
        let request = request(&noted, &endpoint, "/x").expect("it can be");
        assert_eq!(
            (request.endpoint.ip, request.endpoint.ip6),
            (None, Some("fd00:80::2".parse().expect("an address")))
        );
        assert_eq!(addresses(&endpoint, &Interface::default()).expect_err("it has none").kind, Kind::Unsupported);
    }

    #[test]
    fn what_is_not_known_or_nowhere_is_refused() {
        let (noted, endpoint) = noted();
        let other = Id::try_from("b".to_owned()).expect("an id");
        assert_eq!(request(&noted, &other, "/x").expect_err("another").kind, Kind::NotFound);
        assert_eq!(request(&noted, &endpoint, "").expect_err("nowhere").kind, Kind::Usage);
        assert!(mac("02:42").is_err());
    }
}
