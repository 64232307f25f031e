use super::*;

const ID: &str = "abc123def4567890123456789012345678901234567890123456789012345678";

/// The network with what is said of it; the host has the interfaces eth0 and podman2.
#[track_caller]
fn create(members: Value, used: Value) -> Result<Value, String> {
    let mut network = json!({ "name": "web", "id": ID, "driver": "bridge", "dns_enabled": false, "internal": false,
        "ipv6_enabled": false, "labels": { "a": "b" } });
    network.as_object_mut().expect("an object").extend(members.as_object().expect("an object").clone());
    let pools = json!([{ "base": "fd10::/8", "size": 64 }, { "base": "10.89.0.0/16", "size": 24 }]);
    let options = json!({ "subnet_pools": pools, "default_interface_name": "podman", "check_used_subnets": true });
    let document = json!({ "network": network, "used": used, "options": options }).to_string();
    let interfaces = || Ok(vec!["eth0".into(), "podman2".into()]);
    let host = Host {
        interfaces: &interfaces,
        others: &|document| Ok(json!({ "by another": document["network"]["driver"] })),
    };
    run(None, &mut document.as_bytes(), &host).map_err(|failure| failure.0)
}

fn created(members: Value) -> Value {
    create(members.clone(), json!({})).unwrap_or_else(|why| panic!("{members}: {why}"))
}

#[test]
fn network_comes_back_with_what_it_lacks() {
    let plain = created(json!({}));
    assert_eq!(plain["subnets"], json!([{ "subnet": "10.89.0.0/24", "gateway": "10.89.0.1" }]));
    assert_eq!(
        (&plain["network_interface"], &plain["ipam_options"]["driver"]),
        (&json!("podman1"), &json!("host-local"))
    );
    assert_eq!((&plain["labels"], &plain["ipv6_enabled"]), (&json!({ "a": "b" }), &json!(false)));
    assert!(humantime::parse_rfc3339(plain["created"].as_str().expect("a time")).is_ok(), "{plain}");
    let used =
        json!({ "interfaces": ["podman1"], "names": { "podman3": "" }, "subnets": ["10.89.0.0/23", "10.89.3.128/25"] });
    let other = create(json!({}), used).expect("a network");
    assert_eq!(
        (&other["network_interface"], &other["subnets"][0]["subnet"]),
        (&json!("podman4"), &json!("10.89.2.0/24"))
    );
    let both = created(json!({ "ipv6_enabled": true, "subnets": [{ "subnet": "10.7.0.0/16" }] }));
    let subnet6: IpNet = both["subnets"][1]["subnet"].as_str().expect("a subnet").parse().expect("a subnet");
    assert!(subnet6.prefix_len() == 64 && subnet6.to_string().starts_with("fd"), "{subnet6}");
    let alone = created(json!({ "subnets": [{ "subnet": "fd00:7::/64", "gateway": "fd00:7::9" }] }));
    assert_eq!((&alone["ipv6_enabled"], &alone["subnets"].as_array().map(Vec::len)), (&json!(true), &Some(1)));
    assert_eq!(created(json!({ "internal": true }))["subnets"], json!([{ "subnet": "10.89.0.0/24" }]), "no gateway");
    let docker = created(
        json!({ "options": { "com.docker.network.driver.mtu": "1400", "com.docker.network.bridge.name": "br7" } }),
    );
    assert_eq!((&docker["options"], &docker["network_interface"]), (&json!({ "mtu": "1400" }), &json!("br7")));
    let l2 = created(json!({ "ipam_options": { "driver": "none" }, "dns_enabled": true }));
    assert_eq!((&l2["dns_enabled"], l2.get("subnets")), (&json!(false), None));
}

#[test]
fn networks_of_other_drivers_are_completed_for_those_who_make_them() {
    let parent = json!({ "driver": "macvlan", "network_interface": "eth0", "dns_enabled": true });
    let leased = created(parent);
    assert_eq!((&leased["ipam_options"]["driver"], &leased["dns_enabled"]), (&json!("dhcp"), &json!(false)));
    let subnets = json!([{ "subnet": "10.7.0.0/24" }]);
    let known = created(json!({ "driver": "ipvlan", "subnets": subnets, "options": { "mode": "l3" } }));
    assert_eq!(known["ipam_options"]["driver"], "host-local");
    assert_eq!(created(json!({ "driver": "fwd" })), json!({ "by another": "fwd" }));
}

#[test]
fn what_cannot_be_is_refused_in_netavarks_words() {
    let subnet = |members: Value| json!({ "subnets": [members] });
    let route = |members: Value| json!({ "routes": [members] });
    for (members, words) in [
        (json!({ "name": "a b" }), "Invalid characters in network name \"a b\""),
        (json!({ "id": "0a" }), "Network id must be a hexadecimal string \"0a\""),
        (json!({ "network_interface": "sixteen-letters!" }), "Interface name is too long"),
        (json!({ "network_interface": "a/b" }), "Interface name cannot contain \"/\""),
        (json!({ "network_interface": "-b" }), "bridge name -b is invalid"),
        (json!({ "ipam_options": { "driver": "x" } }), "Unsupported ipam driver: x"),
        (json!({ "options": { "x": "y" } }), "unsupported bridge network option: x"),
        (json!({ "options": { "mtu": "big" } }), "unable to parse \"mtu\": invalid digit found in string"),
        (json!({ "options": { "vlan": "4095" } }), "vlan must be between 0 and 4094"),
        (json!({ "options": { "isolate": "perhaps" } }), "unable to parse \"isolate\""),
        (json!({ "network_dns_servers": ["8.8.8.8"] }), "cannot set NetworkDNSServers if DNS is not enabled"),
        (json!({ "network_dns_servers": ["x"] }), "invalid IP address syntax"),
        (subnet(json!({ "subnet": "10.7.0.0/31" })), "because it has a 31 or greater subnet prefix"),
        (subnet(json!({ "subnet": "fd00::/128" })), "because it has a 128 or greater subnet prefix"),
        (
            subnet(json!({ "subnet": "10.7.0.0/24", "gateway": "10.8.0.1" })),
            "gateway 10.8.0.1 not in subnet 10.7.0.0/24",
        ),
        (
            subnet(json!({ "subnet": "10.7.0.0/24", "lease_range": { "start_ip": "10.7.0.9", "end_ip": "10.7.0.8" } })),
            "lease range start_ip 10.7.0.9 must be less than or equal to end_ip 10.7.0.8",
        ),
        (
            json!({ "subnets": [{ "subnet": "10.7.0.0/24" }, { "subnet": "10.7.0.128/25" }] }),
            "overlapping subnets: 10.7.0.0/24 and 10.7.0.128/25",
        ),
        (route(json!({ "destination": "10.9.0.1/24", "gateway": "10.7.0.1" })), "route destination invalid"),
        (route(json!({ "destination": "10.9.0.0/24" })), "requires a gateway for type unicast"),
        (route(json!({ "destination": "10.9.0.0/24", "route_type": "x" })), "invalid route type \"x\""),
        (json!({ "driver": "macvlan", "network_interface": "eth9" }), "parent interface eth9 does not exist"),
        (json!({ "driver": "macvlan", "ipam_options": { "driver": "host-local" } }), "needs at least one subnet"),
        (json!({ "driver": "ipvlan", "ipam_options": { "driver": "dhcp" } }), "dhcp is not supported with ipvlan"),
        (json!({ "driver": "macvlan", "options": { "mode": "x" } }), "invalid macvlan mode \"x\""),
    ] {
        let why = create(members.clone(), json!({})).expect_err(&format!("{members} is refused"));
        assert!(why.contains(words), "{members}: {why}");
    }
    let taken = create(json!({ "subnets": [{ "subnet": "10.7.0.0/25" }] }), json!({ "subnets": ["10.7.0.0/24"] }));
    assert_eq!(taken.expect_err("it is taken"), "subnet 10.7.0.0/25 is already used on the host or by another config");
    let all = create(json!({}), json!({ "subnets": ["10.0.0.0/8"] }));
    assert_eq!(all.expect_err("none is left"), "could not find free subnet from subnet pools");
}

/// Names of interfaces, and those that are noted already.
#[test]
fn nothing_is_called_as_something_else() {
    let refused = |members: Value, used: Value| create(members, used).expect_err("it is refused");
    assert_eq!(refused(json!({}), json!({ "names": { "web": ID } })), "network already exists web");
    let named = json!({ "network_interface": "br0" });
    assert_eq!(refused(named.clone(), json!({ "interfaces": ["br0"] })), "bridge name br0 already in use");
    let shared = json!({ "network_interface": "br0", "options": { "mode": "unmanaged" } });
    assert!(create(shared, json!({ "interfaces": ["br0"] })).is_ok(), "a bridge that others look after");
}
