use serde_json::{Value, json};

use super::*;
use fwd_plan::{Bridging, Datapath, Nat, Sources};

fn read(members: Value) -> Result<Network> {
    let mut whole = json!({ "name": "web", "id": "0a", "driver": "fwd", "internal": false, "options": null,
        "subnets": [{ "subnet": "10.7.0.0/24", "gateway": "10.7.0.1" }], "ipam_options": { "driver": "host-local" } });
    whole.as_object_mut().expect("an object").extend(members.as_object().expect("an object").clone());
    Network::of(&input::read(whole)?)
}

#[test]
fn network_is_read_with_all_that_podman_says() {
    let routes = json!([{ "destination": "203.0.113.0/24", "gateway": "10.7.0.254" }]);
    let subnets = json!([
        { "subnet": "10.7.0.0/24", "gateway": "10.7.0.254", "lease_range": { "start_ip": "10.7.0.10", "end_ip": "10.7.0.20" } },
        { "subnet": "fd00:7::/64", "gateway": "fd00:7::1" }
    ]);
    let options = json!({ "mtu": "1400", "metric": "50", "nat": "eim", "datapath": "tc", "uplink": "eth1", "isolate": "strict",
        "no_default_route": "false", "outbound_addr4": "192.0.2.7", "outbound_addr6": "2001:db8::7", "icc": "false", "bridge": "none" });
    let network = read(json!({ "routes": routes, "subnets": subnets, "options": options, "dns_enabled": true,
        "network_interface": "br7" }));
    let network = network.expect("a network");
    assert_eq!((network.name.as_str(), network.network.as_str(), network.dns), ("web", "br7", true));
    let address = |text: &str| text.parse::<Ipv4Addr>().expect("an address");
    let addresses = Addresses {
        subnet: Some("10.7.0.0/24".parse().expect("a subnet")),
        gateway: Some(address("10.7.0.254")),
        range: Some((address("10.7.0.10"), address("10.7.0.20"))),
        subnet6: Some("fd00:7::/64".parse().expect("a subnet")),
    };
    assert_eq!((network.addresses, network.ipv6()), (addresses, Ipv6::Masquerade));
    assert_eq!(network.routes, ["203.0.113.0/24=10.7.0.254".parse().expect("a route")]);
    let NetworkOptions { uplink, network: of_network, endpoint } = network.options;
    let fwd_plan::Network { mtu, datapath, nat, no_icc, bridging, .. } = of_network;
    assert_eq!(
        (uplink.as_deref(), mtu, datapath, endpoint.attach, nat),
        (Some("eth1"), Some(1400), Some(Datapath::Tc), None, Some(Nat::Eim))
    );
    let v6 = "2001:db8::7".parse().expect("a source");
    let source = Sources { v4: Some(address("192.0.2.7").into()), v6: Some(v6) };
    let wanted = EndpointOptions { metric: Some(50), source, ..EndpointOptions::default() };
    assert_eq!((no_icc, bridging, &endpoint), (true, Bridging::None, &wanted));
    let own = [("metric".to_owned(), "7".to_owned()), ("host_interface_name".to_owned(), "vweb".to_owned())];
    let of_one = of_container(&endpoint, &own.into()).expect("options");
    assert_eq!((of_one.metric, of_one.source), (Some(7), source), "the container's go before the network's");
    assert_eq!(of_one.host_if.as_deref(), Some("vweb"));
    // Nothing but a name.
    let plain = read(json!({})).expect("a network");
    assert_eq!((plain.network.as_str(), plain.ipv6(), plain.options), ("web", Ipv6::Off, NetworkOptions::default()));
}

#[test]
fn what_is_not_made_is_refused_by_name() {
    for (members, words) in [
        (json!({ "ipam_options": { "driver": "dhcp" } }), ["dhcp", "host-local"]),
        (json!({ "network_dns_servers": ["8.8.8.8"] }), ["8.8.8.8", "resolv.conf"]),
        (json!({ "options": { "vlan": "7" } }), ["vlan=7", "no such option"]),
        (json!({ "options": { "bridge": "br0" } }), ["bridge=br0", "ports, none"]),
        (json!({ "options": { "mtu": "big" } }), ["mtu=big", "invalid digit"]),
        (json!({ "options": { "isolate": "false" } }), ["isolate=false", "--allow-network"]),
        (json!({ "options": { "icc": "perhaps" } }), ["icc=perhaps", "neither"]),
        (json!({ "options": { "datapath": "magic" } }), ["datapath=magic", "kernel"]),
        (json!({ "options": { "outbound_addr6": "192.0.2.7" } }), ["outbound_addr6", "no address of IPv6"]),
        (
            json!({ "subnets": [{ "subnet": "10.1.0.0/24" }, { "subnet": "10.2.0.0/24" }] }),
            ["10.2.0.0/24", "one subnet"],
        ),
        (json!({ "subnets": [{ "subnet": "fd00::/64", "gateway": "fd00::2" }] }), ["fd00::2", "first"]),
        (
            json!({ "routes": [{ "destination": "10.9.0.0/16", "gateway": "10.7.0.1", "metric": 7 }] }),
            ["10.9.0.0/16", "metric"],
        ),
        (
            json!({ "routes": [{ "destination": "10.9.0.0/16", "route_type": "blackhole" }] }),
            ["10.9.0.0/16", "blackhole"],
        ),
        (json!({ "subnets": "all" }), ["netavark hands over", "at subnets"]),
    ] {
        let error = read(members.clone()).expect_err("it is refused");
        let text = crate::failure(&error).to_string();
        assert!(words.iter().all(|word| text.contains(word)), "{members}: {text}");
    }
}
