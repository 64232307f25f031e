//! `fwd` as docker's network driver, asked by a dockerd of our own: containers whose namespaces are made after their endpoints.

mod at_once;
mod dockerd;
mod restarts;

use std::{net::Ipv4Addr, os::unix::fs::PermissionsExt as _};

use forwarder::testbed::TestbedSpec;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use self::dockerd::{Dockerd, network_body, socket};
use crate::{
    commands::{assert_as_before, snapshot},
    fwd::{Fwd, answers, pings},
    peers::{any, at, connect, listen},
};

/// Whether the port of the host's address leads to somebody who listens.
pub(super) fn reaches(fwd: &Fwd, port: u16) -> bool {
    // Two ports may lead to one inside: a client's port is its own each time.
    connect(fwd.internet(0), at(fwd.uplink(0).outside[0], 0), at(fwd.uplink(0).address, port)).is_ok()
}

/// Whether `fwd doctor` finds all endpoints as they were recorded.
#[track_caller]
fn assert_endpoints_are_fine(fwd: &Fwd) {
    let doctor: Value = serde_json::from_str(&fwd.call(&["doctor", "--json"]).stdout).expect("it is JSON");
    let checks = doctor["checks"].as_array().expect("a list");
    let endpoints = checks.iter().find(|it| it["check"] == "endpoints").expect("it is checked");
    assert_eq!(endpoints["verdict"], "ok", "{endpoints}");
}

fn address(text: &str) -> Ipv4Addr {
    text.parse().expect("an address")
}

#[test]
fn containers_are_attached_before_they_are_there_and_leave_nothing() {
    let fwd = Fwd::new();
    let before = snapshot(&fwd);
    let dockerd = Dockerd::start(&fwd);
    assert_eq!(std::fs::metadata(socket(&fwd)).expect("it is there").permissions().mode() & 0o777, 0o600);
    let mut kept = dockerd.connect();
    assert_eq!(kept.call("Plugin.Activate", &Value::Null), json!({ "Implements": ["NetworkDriver"] }));
    let local = json!({ "Scope": "local", "ConnectivityScope": "local" });
    assert_eq!(kept.call("NetworkDriver.GetCapabilities", &Value::Null), local);
    let generic = json!({ "fwd.network": "web", "com.docker.network.driver.mtu": "1400" });
    let network = dockerd.network(&"a1".repeat(32), "10.80.0", false, &generic);
    let mut one = dockerd.create(&network, 2);
    let mut other = dockerd.create(&network, 3);
    // While it waits, it is shown, and nothing is wrong with it; its ports are published.
    let gateway = dockerd.ask_to_join(&mut one);
    assert_eq!(gateway.as_deref(), Some("10.80.0.1"));
    dockerd.publish(
        &one,
        &json!([{ "Proto": 6, "IP": "", "Port": 80, "HostIP": "", "HostPort": 8080, "HostPortEnd": 8080 }]),
    );
    let waiting = fwd.list(&["ls"]);
    assert_eq!((&waiting[0]["owner"], &waiting[0]["container"]), (&json!("docker"), &json!(one.id)));
    assert_eq!((&waiting[0]["attach"], &waiting[0]["mtu"]), (&json!("clsact"), &json!(1400)));
    assert_eq!(waiting[0]["published"], json!(["8080:80/tcp"]));
    assert_endpoints_are_fine(&fwd);
    let ns = one.move_in(&fwd, gateway.as_deref());
    let (neighbour, _) = dockerd.join(&mut other);
    let listed = dockerd.learned(2);
    assert_eq!(listed[0]["published"], json!(["8080:80/tcp"]), "they go on when the namespace is learned");
    assert!(pings(&ns, fwd.uplink(0).outside[0]) && pings(&ns, address("10.80.0.3")));
    assert!(pings(fwd.host(), address("10.80.0.2")) && pings(&neighbour, address("10.80.0.1")));
    let _server = listen(&ns, any(80));
    assert!(reaches(&fwd, 8080));
    assert!(connect(&neighbour, any(0), at(fwd.uplink(0).address, 8080)).is_ok(), "a neighbour by the host's address");
    let info = dockerd.call("EndpointOperInfo", &one.body(&[]));
    assert_eq!(info["Value"]["com.docker.network.portmap"][0]["HostPort"], 8080);
    assert_endpoints_are_fine(&fwd);
    dockerd.refused("DeleteNetwork", &json!({ "NetworkID": network.id }), &["is in it", "disconnect"]);
    one.move_out(&fwd, &ns);
    dockerd.remove(&one);
    dockerd.remove(&one);
    assert!(!reaches(&fwd, 8080));
    // This one's namespace goes first, and the interface with it.
    drop(neighbour);
    dockerd.remove(&other);
    assert_eq!(fwd.list(&["ls"]).len(), 0);
    dockerd.delete_network(&network);
    dockerd.delete_network(&network);
    drop(ns);
    drop(kept);
    dockerd.end(Signal::SIGTERM);
    assert!(!socket(&fwd).exists());
    std::fs::remove_dir(fwd.run_dir().join("state")).expect("there is no file of a network");
    std::fs::remove_dir(fwd.run_dir().join("plugins")).expect("nothing else is there");
    assert_as_before(&fwd, &before);
}

#[test]
fn containers_may_be_no_ports_of_a_bridge() {
    let fwd = Fwd::new();
    let dockerd = Dockerd::start(&fwd);
    let network = dockerd.network(&"a7".repeat(32), "10.80.0", false, &json!({ "fwd.bridge": "none" }));
    let [mut one, mut other] = [2, 3].map(|last| dockerd.create(&network, last));
    let ((ns, _), (_neighbour, _)) = (dockerd.join(&mut one), dockerd.join(&mut other));
    let listed = dockerd.learned(2);
    assert!(listed.iter().all(|it| it["bridgeless"] == true), "{listed:?}");
    assert!(pings(&ns, address("10.80.0.3")) && pings(&ns, fwd.uplink(0).outside[0]));
    assert!(pings(&ns, address("10.80.0.1")) && pings(fwd.host(), address("10.80.0.2")));
    assert_endpoints_are_fine(&fwd);
    for endpoint in [&one, &other] {
        dockerd.remove(endpoint);
    }
    dockerd.delete_network(&network);
    assert_eq!(fwd.list(&["network", "ls"]).len(), 0);
}

/// As docker 28 asks with --ipv4=false.
#[test]
fn network_may_have_ipv6_alone() {
    let fwd = Fwd::with(&TestbedSpec { ipv6: true, ..TestbedSpec::default() });
    let dockerd = Dockerd::start(&fwd);
    let id = "a6".repeat(32);
    let pool = json!([{ "AddressSpace": "LocalDefault", "Pool": "fd00:80::/64", "Gateway": "fd00:80::1/64", "AuxAddresses": {} }]);
    let network = json!({
        "NetworkID": id, "Options": { "com.docker.network.enable_ipv6": true, "com.docker.network.enable_ipv4": false },
        "IPv4Data": [], "IPv6Data": pool,
    });
    assert_eq!(dockerd.call("CreateNetwork", &network), json!({}));
    let interface = json!({ "Address": "", "AddressIPv6": "fd00:80::2/64", "MacAddress": "" });
    let endpoint = json!({ "NetworkID": id, "EndpointID": "e6".repeat(32), "Interface": interface });
    let made = dockerd.call("CreateEndpoint", &endpoint);
    assert!(made["Interface"]["MacAddress"].is_string() && made["Interface"].get("Address").is_none(), "{made}");
    let mut join = endpoint.clone();
    join["SandboxKey"] = json!(format!("/run/netns/{}", fwd.name("s6")));
    let joined = dockerd.call("Join", &join);
    assert_eq!((joined.get("Gateway"), &joined["GatewayIPv6"]), (None, &json!("fd00:80::1")), "{joined}");
    let listed = fwd.list(&["ls"]);
    assert_eq!((listed.len(), &listed[0]["addresses"]), (1, &json!(["fd00:80::2/64"])));
    let without =
        json!({ "NetworkID": id, "EndpointID": "e7".repeat(32), "Interface": { "Address": "", "AddressIPv6": "" } });
    dockerd.refused("CreateEndpoint", &without, &["no address"]);
    dockerd.call("DeleteEndpoint", &endpoint);
    dockerd.call("DeleteNetwork", &network);
    assert_eq!(fwd.list(&["network", "ls"]).len(), 0);
}

#[test]
fn internal_networks_have_no_way_out_and_docker_gives_them_none() {
    let fwd = Fwd::new();
    let dockerd = Dockerd::start(&fwd);
    let network = dockerd.network(&"b2".repeat(32), "10.81.0", true, &Value::Null);
    let [mut one, mut other] = [2, 3].map(|last| dockerd.create(&network, last));
    let (ns, gateway) = dockerd.join(&mut one);
    assert_eq!(gateway, None);
    let (_neighbour, _) = dockerd.join(&mut other);
    let listed = dockerd.learned(2);
    assert_eq!((&listed[0]["network"], &listed[0]["internal"]), (&json!("d-b2b2b2b2b2b2"), &json!(true)));
    assert!(pings(&ns, address("10.81.0.3")) && !answers(&ns, fwd.uplink(0).outside[0]));
}

#[test]
fn networks_that_docker_has_not_made_are_none_of_docker_s() {
    let fwd = Fwd::new();
    let dockerd = Dockerd::start(&fwd);
    fwd.ok(&["network", "add", "mine", "--subnet", "10.82.0.0/24"]);
    let body = network_body(&"a1".repeat(32), "10.82.0", false, &json!({ "fwd.network": "mine" }));
    dockerd.refused(
        "CreateNetwork",
        &body,
        &["mine", "docker has not made", "-o fwd.network=NAME", "fwd network rm mine"],
    );
    dockerd.call("DeleteNetwork", &json!({ "NetworkID": body["NetworkID"] }));
    assert_eq!(fwd.list(&["network", "ls"])[0]["network"], "mine", "it stays");
    // Docker's own, asked for twice: what is noted of it stays.
    fwd.ok(&["network", "rm", "mine"]);
    assert_eq!(dockerd.call("CreateNetwork", &body), json!({}));
    let interface = json!({ "Address": "10.82.0.2/24" });
    let endpoint = json!({ "NetworkID": body["NetworkID"], "EndpointID": "e1", "SandboxKey": "/run/netns/none", "Interface": interface });
    dockerd.call("CreateEndpoint", &endpoint);
    assert_eq!(dockerd.call("CreateNetwork", &body), json!({}));
    dockerd.call("Join", &endpoint);
    dockerd.call("DeleteEndpoint", &endpoint);
    dockerd.call("DeleteNetwork", &body);
    assert_eq!(fwd.list(&["network", "ls"]).len(), 0);
}

#[test]
fn ports_are_chosen_where_docker_leaves_them_open_and_refused_where_somebody_has_them() {
    let fwd = Fwd::new();
    let dockerd = Dockerd::start(&fwd);
    let network = dockerd.network(&"a1".repeat(32), "10.80.0", false, &json!({}));
    let [mut one, mut other] = [2, 3].map(|last| dockerd.create(&network, last));
    dockerd.refused(
        "ProgramExternalConnectivity",
        &one.published(&json!([{ "Proto": 6, "Port": 80, "HostPort": 1 }])),
        &["joined"],
    );
    let (ns, _) = dockerd.join(&mut one);
    dockerd.ask_to_join(&mut other);
    let open = json!([
        { "Proto": 6, "Port": 80, "HostPort": 8000, "HostPortEnd": 8001 },
        { "Proto": 6, "Port": 80, "HostPort": 8000, "HostPortEnd": 8001 },
        { "Proto": 17, "Port": 53, "HostPort": 0, "HostPortEnd": 0 },
    ]);
    dockerd.publish(&one, &open);
    let taken = dockerd.call("EndpointOperInfo", &one.body(&[]));
    let taken = taken["Value"]["com.docker.network.portmap"].as_array().expect("a list").clone();
    assert_eq!(taken.iter().map(|it| &it["HostPort"]).collect::<Vec<_>>()[..2], [&json!(8000), &json!(8001)]);
    assert!(taken[2]["HostPort"].as_u64() >= Some(30_000), "{taken:?}");
    let _server = listen(&ns, any(80));
    assert!(reaches(&fwd, 8000) && reaches(&fwd, 8001));
    let one_port = |value: Value| other.published(&json!([value]));
    let call = "ProgramExternalConnectivity";
    dockerd.refused(
        call,
        &one_port(json!({ "Proto": 6, "Port": 80, "HostPort": 8000, "HostPortEnd": 8000 })),
        &["8000"],
    );
    dockerd.refused(
        call,
        &one_port(json!({ "Proto": 6, "Port": 80, "HostPort": 8000, "HostPortEnd": 8001 })),
        &["8000-8001", "taken"],
    );
    dockerd.refused(call, &one_port(json!({ "Proto": 132, "Port": 80, "HostPort": 80 })), &["132", "tcp or udp"]);
    let _own = listen(fwd.host(), at(Ipv4Addr::UNSPECIFIED, 8002));
    dockerd.publish(&other, &json!([{ "Proto": 6, "Port": 80, "HostPort": 8002, "HostPortEnd": 8003 }]));
    let info = dockerd.call("EndpointOperInfo", &other.body(&[]));
    assert_eq!(info["Value"]["com.docker.network.portmap"][0]["HostPort"], 8003, "a program of the host has the first");
    // What is withdrawn is free for the next one.
    dockerd.call("RevokeExternalConnectivity", &one.body(&[]));
    dockerd.publish(&other, &json!([{ "Proto": 6, "Port": 80, "HostPort": 8000, "HostPortEnd": 8000 }]));
}

#[test]
fn what_is_no_call_is_told_and_the_connection_stays() {
    let fwd = Fwd::new();
    let dockerd = Dockerd::start(&fwd);
    let mut kept = dockerd.connect();
    for path in ["/NetworkDriver.Jump", "/", "/Plugin.activate"] {
        assert_eq!(kept.send("POST", path, "{}").0, 404, "{path}");
    }
    assert_eq!(kept.send("GET", "/Plugin.Activate", "").0, 405);
    // moby#35459: docker tries again without a body.
    for call in [
        "CreateNetwork",
        "DeleteNetwork",
        "CreateEndpoint",
        "Join",
        "Leave",
        "ProgramExternalConnectivity",
        "DiscoverNew",
    ] {
        for body in ["", "{", "[]", "null"].into_iter().filter(|body| call != "DiscoverNew" || body.len() < 2) {
            let (status, said) = kept.send("POST", &format!("/NetworkDriver.{call}"), body);
            assert!(status == 400 && said.contains("Err"), "{call} {body:?}: {status} {said}");
        }
    }
    for call in ["AllocateNetwork", "FreeNetwork", "DiscoverNew", "DiscoverDelete"] {
        assert_eq!(dockerd.call(call, &json!({ "NetworkID": "a1", "DiscoveryType": 1 })), json!({}), "{call}");
    }
    let id = "a1".repeat(32);
    let body = |generic: &Value| network_body(&id, "10.80.0", false, generic);
    dockerd.refused("CreateNetwork", &body(&json!({ "parent": "eth0" })), &["parent", "fwd.network"]);
    dockerd.refused("CreateNetwork", &body(&json!({ "fwd.uplink": "eth9" })), &["eth9"]);
    dockerd.refused("CreateNetwork", &body(&json!({ "fwd.datapath": "xdp" })), &["xdp", "tc"]);
    dockerd.refused("CreateNetwork", &network_body(&id, "198.51.100", false, &json!({})), &["198.51.100"]);
    let network = dockerd.network(&id, "10.80.0", false, &json!({ "fwd.network": "web" }));
    let second = network_body(&"b2".repeat(32), "10.81.0", false, &json!({ "fwd.network": "web" }));
    dockerd.refused("CreateNetwork", &second, &["web", "-o fwd.network=NAME"]);
    let unknown = json!({ "NetworkID": "c3", "EndpointID": "e1", "SandboxKey": "/x", "Interface": { "Address": "10.80.0.9/24" } });
    for call in ["CreateEndpoint", "Join", "EndpointOperInfo"] {
        dockerd.refused(call, &unknown, &["network c3", "make it anew"]);
    }
    dockerd.refused(
        "Join",
        &json!({ "NetworkID": network.id, "EndpointID": "e1", "SandboxKey": "/x" }),
        &["endpoint e1"],
    );
    dockerd.refused(
        "CreateEndpoint",
        &json!({ "NetworkID": network.id, "EndpointID": "e1", "Interface": {} }),
        &["no address"],
    );
    // Many at once, each on a connection of its own, which all stay open.
    let mut connections: Vec<_> = (0..40).map(|_| dockerd.connect()).collect();
    for connection in connections.iter_mut().rev() {
        assert_eq!(connection.call("Plugin.Activate", &Value::Null)["Implements"], json!(["NetworkDriver"]));
    }
    assert_eq!(kept.call("Plugin.Activate", &Value::Null)["Implements"], json!(["NetworkDriver"]));
}
