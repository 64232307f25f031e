//! What configurations mean, and which are refused.

use serde_json::{Value, json};

use std::net::Ipv4Addr;

use super::*;
use fwd_plan::{Ipv4, Ipv6};

fn read(extra: Value) -> Result<Config> {
    read_as(Plugin::Fwd, extra)
}

fn read_as(plugin: Plugin, extra: Value) -> Result<Config> {
    let mut whole = json!({ "cniVersion": "1.0.0", "name": "web", "type": "fwd" });
    let members = extra.as_object().expect("an object").clone();
    whole.as_object_mut().expect("an object").extend(members);
    Config::of(whole, plugin, &Environment::default())
}

#[track_caller]
fn refused(code: u32, extra: Value, words: &[&str]) {
    let failure = read(extra).expect_err("it is refused");
    assert_eq!(failure.code, code, "{failure:?}");
    for word in words {
        assert!(failure.msg.contains(word), "{word}: {failure:?}");
    }
    assert!(!failure.details.is_empty(), "{failure:?}");
}

#[test]
fn a_name_is_enough() {
    let config = read(json!({})).expect("it is whole");
    assert_eq!((config.network.as_str(), config.options.subnet, config.options.ipv6), ("web", None, None));
    assert!(!config.endpoint.no_default_route && config.endpoint.publish.is_empty() && config.delegate.is_none());
    assert_eq!(config.patience, PATIENCE);
}

#[test]
fn keys_have_any_case_and_others_are_passed_over() {
    let config = read(json!({
        "Network": "front", "MTU": 1400, "unknown": { "x": [1] }, "dataPath": "kernel", "nat": null, "lockTimeout": "3s",
        "IPAM": { "type": "fwd", "Ranges": [[{ "Subnet": "10.8.0.0/24", "rangeStart": "10.8.0.10", "gateway": "10.8.0.254" }],
            [{ "subnet": "fd00:8::/64" }]], "routes": [{ "dst": "0.0.0.0/0" }, { "dst": "10.9.0.0/16" }] },
    }));
    let config = config.expect("it is whole");
    assert_eq!(
        (config.network.as_str(), config.options.mtu, config.options.datapath),
        ("front", Some(1400), Some(Datapath::Kernel))
    );
    assert_eq!(config.options.subnet, Some("10.8.0.0/24".parse().expect("a subnet")));
    assert_eq!(config.options.gateway, Some(Ipv4Addr::new(10, 8, 0, 254)));
    assert_eq!(config.endpoint.range, Some((Ipv4Addr::new(10, 8, 0, 10), Ipv4Addr::new(10, 8, 0, 255))));
    assert_eq!((config.options.ipv6, config.options.subnet6.is_some()), (Some(Ipv6::Masquerade), true));
    assert_eq!(config.endpoint.routes.iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.9.0.0/16"]);
    assert_eq!(config.patience, Duration::from_secs(3));
}

/// What containerd's go-cni 1.1 sends.
#[test]
fn capabilities_are_read_as_go_cni_writes_them() {
    let config = read(json!({ "runtimeConfig": {
        "portMappings": [
            { "HostPort": 8080, "ContainerPort": 80, "Protocol": "tcp", "HostIP": "" },
            { "HostPort": 8081, "ContainerPort": 81, "Protocol": "TCP", "HostIP": "" },
            { "HostPort": 82, "ContainerPort": 82, "Protocol": "tcp", "HostIP": "0.0.0.0" },
            { "HostPort": 83, "ContainerPort": 83, "Protocol": "tcp", "HostIP": "2001:db8::7" },
            { "HostPort": 53, "ContainerPort": 5353, "Protocol": "udp", "HostIP": "127.0.0.1" },
        ],
        "bandwidth": { "IngressRate": 8_000_000, "IngressBurst": 4_294_967_295_u64, "EgressRate": 1_000_000, "EgressBurst": 800_000 },
        "ipRanges": [{ "subnet": "10.5.0.0/24" }],
        "dns": { "Servers": ["10.0.0.10"], "Searches": ["svc.cluster.local"], "Options": ["ndots:5"] },
        "ips": ["10.5.0.7/24"], "mac": "02:00:00:00:00:07",
    } }));
    let config = config.expect("it is whole");
    let published: Vec<String> = config.endpoint.publish.iter().map(ToString::to_string).collect();
    assert_eq!(
        published,
        ["8080-8081:80-81/tcp", "0.0.0.0:82:82/tcp", "[2001:db8::7]:83:83/tcp", "127.0.0.1:53:5353/udp"]
    );
    let inbound = config.endpoint.limits.inbound.expect("a limit");
    assert_eq!((inbound.rate, inbound.burst), (8_000_000, inbound.most_burst()));
    assert_eq!(config.endpoint.limits.outbound.map(|limit| (limit.rate, limit.burst)), Some((1_000_000, 100_000)));
    assert_eq!(config.options.subnet, Some("10.5.0.0/24".parse().expect("a subnet")));
    let dns = json!({ "nameservers": ["10.0.0.10"], "search": ["svc.cluster.local"], "options": ["ndots:5"] });
    assert_eq!(config.dns, dns);
    assert_eq!((config.addresses, config.endpoint.mac.is_some()), (vec![Ipv4Addr::new(10, 5, 0, 7).into()], true));
}

#[test]
fn what_is_said_of_the_container_goes_first() {
    let whole = json!({ "cniVersion": "0.4.0", "name": "web", "args": { "cni": { "ips": ["10.0.0.3"] } },
        "runtimeConfig": { "ips": ["10.0.0.2"] } });
    let arguments = |name: &str| (name == "CNI_ARGS").then(|| "IP=10.0.0.4;MAC=02:00:00:00:00:09".into());
    let environment = Environment::of(crate::environment::Command::Version, arguments).expect("it is valid");
    let of = |whole: &Value| Config::of(whole.clone(), Plugin::Fwd, &environment).expect("it is whole").addresses;
    let mut whole = whole;
    let address = |last| vec![std::net::IpAddr::from([10, 0, 0, last])];
    assert_eq!(of(&whole), address(2));
    whole["runtimeConfig"] = json!({});
    assert_eq!(of(&whole), address(3));
    whole["args"] = json!({});
    assert_eq!(of(&whole), address(4));
}

#[test]
fn names_of_others_mean_what_they_mean_there() {
    let bridge = read_as(Plugin::Bridge, json!({ "bridge": "br7", "ipMasq": false, "ipam": { "type": "host-local" } }));
    let bridge = bridge.expect("it is whole");
    assert_eq!((bridge.network.as_str(), bridge.delegate.as_deref()), ("br7", Some("host-local")));
    assert!(bridge.endpoint.no_default_route, "as bridge without isDefaultGateway");
    let usual = read_as(Plugin::Bridge, json!({ "isDefaultGateway": true })).expect("it is whole");
    assert_eq!((usual.network.as_str(), usual.endpoint.no_default_route), ("cni0", false));
    let routed = json!({ "ipam": { "type": "host-local", "routes": [{ "dst": "0.0.0.0/0" }] } });
    assert!(!read_as(Plugin::Ptp, routed).expect("it is whole").endpoint.no_default_route);
}

#[test]
fn what_is_not_made_is_refused_with_key_and_value() {
    refused(2, json!({ "vlan": 7 }), &["vlan", "7"]);
    refused(2, json!({ "vlanTrunk": [{ "minID": 1 }] }), &["vlanTrunk"]);
    refused(2, json!({ "ipMasq": false }), &["ipMasq", "false"]);
    refused(2, json!({ "nonMasqueradeCIDRs": ["10.0.0.0/8"] }), &["nonMasqueradeCIDRs", "10.0.0.0/8"]);
    refused(2, json!({ "isolate": false }), &["isolate"]);
    let sctp =
        json!({ "runtimeConfig": { "portMappings": [{ "hostPort": 1, "containerPort": 1, "protocol": "sctp" }] } });
    refused(2, sctp, &["sctp"]);
    let range = json!({ "subnet": "10.8.0.0/25" });
    refused(2, json!({ "ipam": { "ranges": [[range, { "subnet": "10.8.1.0/25" }]] } }), &["ipam.ranges"]);
    refused(2, json!({ "ipam": { "ranges": [[range], [{ "subnet": "10.8.1.0/25" }]] } }), &["10.8.1.0/25"]);
    assert!(read(json!({ "vlan": 0, "vlanTrunk": [], "isolate": true, "ipMasq": true })).is_ok());
}

#[test]
fn what_cannot_be_is_refused() {
    let port = |host: i64, inside: i64| json!({ "runtimeConfig": { "portMappings": [{ "hostPort": host, "containerPort": inside }] } });
    refused(7, port(0, 80), &["hostPort", "0"]);
    refused(7, port(80, 65_536), &["containerPort", "65536"]);
    refused(7, json!({ "runtimeConfig": { "bandwidth": { "ingressRate": 8000 } } }), &["ingressRate", "8000"]);
    refused(7, json!({ "name": "a/b" }), &["a/b"]);
    refused(7, json!({ "network": "x", "bridge": "y" }), &["y"]);
    let bridging =
        |members| read_as(Plugin::Fwd, members).map(|it| (it.network.as_str().to_owned(), it.options.bridging)).ok();
    assert_eq!(bridging(json!({ "network": "x", "bridge": "none" })), Some(("x".into(), Bridging::None)));
    assert_eq!(bridging(json!({ "bridge": "ports" })), Some(("ports".into(), Bridging::Ports)), "it is a name");
    let named = |members| read_as(Plugin::Bridge, members).map(|it| it.network.as_str().to_owned()).ok();
    let list = |name: &str, bridge: &str| json!({ "name": name, "type": "bridge", "bridge": bridge });
    assert_eq!((named(list("one", "none")), named(list("two", "none"))), (Some("one".into()), Some("two".into())));
    refused(7, json!({ "datapath": "fast" }), &["fast", "tc"]);
    refused(7, json!({ "ipam": { "subnet": "10.8.0.0/33" } }), &["10.8.0.0/33"]);
    let alone = read(json!({ "ipam": { "ranges": [[{ "subnet": "fd00::/64" }]] } })).expect("IPv6 alone");
    assert_eq!(
        (alone.options.subnet, alone.options.ipv4, alone.options.ipv6),
        (None, Some(Ipv4::Off), Some(Ipv6::Masquerade))
    );
    refused(7, json!({ "lockTimeout": "soon" }), &["lockTimeout", "soon"]);
    refused(6, json!({ "mtu": "big" }), &["mtu"]);
    refused(1, json!({ "cniVersion": "0.2.0" }), &["0.2.0"]);
    assert_eq!(document(b"[]").expect_err("it is no object").code, 6);
    assert_eq!(document(b"{").expect_err("it is no JSON").code, 6);
}
