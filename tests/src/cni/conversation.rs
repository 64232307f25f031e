//! What containers can do: ports, limits, lists of plugins, the names of other plugins.

use std::{net::Ipv4Addr, path::Path};

use forwarder::testbed::{self, Process, command_in, wait_until};
use serde_json::{Value, json};

use super::runner::{Container, Runtime, address_of};
use crate::{
    fwd::{Fwd, LIMIT, answers, copy_program, inside, pings},
    peers::{ANY, any, at, connect, echo_tcp, listen},
    runtimes::served,
};

/// A program of the host reaches the container by the host's addresses.
#[track_caller]
fn assert_served_at_host(fwd: &Fwd, container: &Container, port: u16) {
    let Some(cgroup) = fwd.cgroup() else { return };
    let own = fwd.uplink(0).address.to_string();
    for host in [&format!("TCP4:{own}"), "TCP4:127.0.0.1", "TCP6:[::1]"] {
        let server = echo_tcp(listen(container, any(80)), 1);
        let client = ["socat", "-T5", "-", &format!("{host}:{port}")];
        let client = testbed::command_in_cgroup(fwd.host(), cgroup, &client);
        testbed::run(client, LIMIT).expect("it ends").success().unwrap_or_else(|error| panic!("{host}: {error}"));
        server.join().expect("the server");
    }
}

/// podman (before 5.5) and its conmon hold the ports that they publish, and answer nobody there.
#[test]
fn runtime_may_hold_the_ports_that_it_publishes() {
    let fwd = Fwd::new();
    let runtime = Runtime::new(&fwd, "1.0.0", json!({}));
    let container = Container::new(&fwd, "c1");
    let ports = json!({ "portMappings": [{ "hostPort": 8080, "containerPort": 80 }] });
    // A program of that name, which listens and takes no connection.
    let conmon = fwd.run_dir().join("conmon");
    copy_program(Path::new("/usr/bin/python3"), &conmon);
    let script = "import socket; s = socket.create_server(('', 8080)); print('up', flush=True)";
    let script = format!("{script}; __import__('signal').pause()");
    let holder = Process::spawn(command_in(fwd.host(), &[conmon.to_str().expect("a plain path"), "-c", &script]));
    let holder = holder.expect("it starts");
    wait_until(LIMIT, "it listens", || Ok(holder.stdout().contains("up").then_some(()))).expect("it listens");
    runtime.add(&container, &ports);
    assert_served_at_host(&fwd, &container, 8080);
    served(fwd.internet(0), fwd.uplink(0).address, 8080, &container);
    // Whoever else holds one keeps it.
    let nginx = listen(fwd.host(), any(8081));
    let other = Container::new(&fwd, "c2");
    let path = other.path();
    let taken = json!({ "runtimeConfig": { "portMappings": [{ "hostPort": 8081, "containerPort": 80 }] } });
    runtime.fails(&Runtime::variables("ADD", &other.id, &path), &runtime.config(0, &taken), 102, &["8081"]);
    drop(nginx);
}

#[test]
fn published_ports_lead_to_the_container_until_it_goes() {
    let fwd = Fwd::new();
    let runtime = Runtime::new(&fwd, "1.0.0", json!({ "capabilities": { "portMappings": true } }));
    let [container, other] = ["c1", "c2"].map(|role| Container::new(&fwd, role));
    let ports = |first: u16| {
        let mapping = |number: u16| json!({ "HostPort": first + number, "ContainerPort": 80 + number, "Protocol": "tcp", "HostIP": "" });
        json!({ "portMappings": (0..3).map(mapping).collect::<Vec<_>>() })
    };
    let result = runtime.add(&container, &ports(8080));
    runtime.add(&other, &json!({}));
    assert_eq!(fwd.list(&["ls"])[0]["published"], json!(["8080-8082:80-82/tcp"]));
    let address = fwd.uplink(0).address;
    served(fwd.internet(0), address, 8080, &container);
    served(&other, address, 8080, &container);
    served(&container, address, 8080, &container);
    assert_served_at_host(&fwd, &container, 8080);
    runtime.check(&container, &ports(8080), &result);
    // Nobody else gets them meanwhile, and afterwards anybody.
    let third = Container::new(&fwd, "c3");
    let path = third.path();
    let variables = Runtime::variables("ADD", &third.id, &path);
    let config = runtime.config(0, &json!({ "runtimeConfig": ports(8082) }));
    runtime.fails(&variables, &config, 102, &["8082"]);
    runtime.del(&container.id, "");
    assert!(connect(fwd.internet(0), ANY, at(address, 8080)).is_err());
    runtime.add(&third, &ports(8080));
    served(fwd.internet(0), address, 8080, &third);
}

/// An existing list of others: a bridge with addresses of `host-local`, and `portmap` behind it.
#[test]
fn list_for_other_plugins_works_unchanged() {
    let fwd = Fwd::new();
    let bridge = json!({ "type": "bridge", "bridge": "br7", "isGateway": true, "ipMasq": true, "hairpinMode": true,
        "ipam": { "type": "fwd", "routes": [{ "dst": "0.0.0.0/0" }], "ranges": [[{ "subnet": "10.88.0.0/16", "gateway": "10.88.0.1" }]] } });
    let portmap = json!({ "type": "portmap", "capabilities": { "portMappings": true }, "snat": true });
    let runtime = Runtime::with_list(&fwd, "0.4.0", vec![bridge.clone(), portmap]);
    let container = Container::new(&fwd, "c1");
    let ports = json!({ "portMappings": [{ "hostPort": 8080, "containerPort": 80, "protocol": "tcp" }] });
    let path = container.path();
    // As libcni does, but that the first is not given what is for the second.
    let variables = Runtime::variables("ADD", &container.id, &path);
    let first = runtime.ok(&variables, &runtime.config(0, &json!({})));
    assert_eq!((&first["interfaces"][0]["name"], &first["ips"][0]["gateway"]), (&json!("br7"), &json!("10.88.0.1")));
    let chained = runtime.config(1, &json!({ "prevResult": first, "runtimeConfig": ports }));
    assert_eq!(runtime.ok(&variables, &chained), first, "the result goes on unchanged");
    served(fwd.internet(0), fwd.uplink(0).address, 8080, &container);
    let check = Runtime::variables("CHECK", &container.id, &path);
    runtime.ok(&check, &runtime.config(0, &json!({ "prevResult": first })));
    runtime.ok(&check, &chained);
    runtime.ok(&Runtime::variables("DEL", &container.id, &path), &chained);
    assert_eq!(fwd.list(&["port", "ls"]).len(), 0);
    runtime.fails(&check, &chained, 999, &["8080"]);
    runtime.del(&container.id, &path);
    assert_eq!(fwd.list(&["ls"]).len(), 0);
    // Behind an interface that is not ours there is nothing to publish for.
    let foreign = Container::new(&fwd, "c2");
    let path = foreign.path();
    runtime.fails(&Runtime::variables("ADD", &foreign.id, &path), &chained, 7, &["not fwd's"]);
}

#[test]
fn limits_routes_and_addresses_are_as_the_runtime_asks() {
    let fwd = Fwd::new();
    let config = json!({ "network": "front", "isDefaultGateway": false,
        "ipam": { "type": "fwd", "subnet": "10.7.0.0/24", "routes": [{ "dst": "203.0.113.0/24" }] } });
    let runtime = Runtime::new(&fwd, "1.1.0", config);
    let container = Container::new(&fwd, "c1");
    let asked = json!({ "ips": ["10.7.0.77/24"], "mac": "02:00:00:00:00:07",
        "bandwidth": { "ingressRate": 50_000_000, "ingressBurst": 4_294_967_295_u64, "egressRate": 100_000_000, "egressBurst": 8_000_000 } });
    let result = runtime.add(&container, &asked);
    assert_eq!((address_of(&result), &result["interfaces"][2]["mac"]), (Ipv4Addr::new(10, 7, 0, 77), &asked["mac"]));
    assert_eq!(result["routes"], json!([{ "dst": "203.0.113.0/24", "gw": "10.7.0.1" }]));
    let listed = &fwd.list(&["ls"])[0];
    assert_eq!((&listed["network"], &listed["rate_in"]["rate"]), (&json!("front"), &json!(50_000_000)));
    assert_eq!(listed["rate_out"], json!({ "rate": 100_000_000, "burst": 1_000_000 }));
    assert!(inside(&container, &["ip", "route", "show", "default"]).is_empty());
    assert!(pings(&container, fwd.uplink(0).outside[0]));
    runtime.check(&container, &asked, &result);
    // What was asked for is not there any more.
    inside(&container, &["ip", "route", "del", "203.0.113.0/24"]);
    let path = container.path();
    let check = Runtime::variables("CHECK", &container.id, &path);
    let config = runtime.config(0, &json!({ "prevResult": result }));
    runtime.fails(&check, &config, 999, &["203.0.113.0/24"]);
    inside(&container, &["ip", "link", "set", "eth0", "down"]);
    runtime.fails(&check, &config, 999, &["eth0", "down"]);
    fwd.on_host(&["ip", "link", "del", listed["host_if"].as_str().expect("a name")]);
    runtime.fails(&check, &config, 999, &["eth0"]);
}

/// CNI plugins #474: networks of different names are isolated, and so are they from the host's other bridges.
#[test]
fn containers_reach_their_own_network_alone() {
    let fwd = Fwd::new();
    let runtime = Runtime::new(&fwd, "1.0.0", json!({}));
    let [one, two, three] = ["c1", "c2", "c3"].map(|role| Container::new(&fwd, role));
    let [_, second] = [&one, &two].map(|it| address_of(&runtime.add(it, &json!({}))));
    let path = three.path();
    let vault = runtime.config(0, &json!({ "name": "vault", "internal": true }));
    let shown: Value = runtime.ok(&Runtime::variables("ADD", &three.id, &path), &vault);
    assert!(pings(&one, second));
    assert!(!answers(&one, address_of(&shown)) && !answers(&three, second));
    assert!(!answers(&three, fwd.uplink(0).outside[0]), "nothing leaves it");
    assert_eq!(shown["routes"], json!([]));
}

/// containerd calls it for each pod before any other, and kubelet's list may end with it.
#[test]
fn loopback_of_a_container_is_up_from_add_to_del() {
    let fwd = Fwd::new();
    let container = Container::new(&fwd, "c1");
    let path = container.path();
    let shown = |what: &str| inside(&container, &["ip", "-o", what, "show", "dev", "lo"]);
    inside(&container, &["ip", "link", "set", "lo", "down"]);
    for version in ["0.3.1", "0.4.0", "1.0.0", "1.1.0"] {
        let runtime = Runtime::new(&fwd, version, json!({ "type": "loopback" }));
        let call = |command: &'static str, extra: Value| {
            runtime.ok(&Runtime::variables(command, &container.id, &path), &runtime.config(0, &extra))
        };
        let check = Runtime::variables("CHECK", &container.id, &path);
        runtime.fails(&check, &runtime.config(0, &json!({})), 999, &["lo is down", "ip link set lo up"]);
        let result = call("ADD", json!({}));
        assert!(shown("link").contains("UP") && shown("address").contains("127.0.0.1/8"), "{}", shown("address"));
        let old = version < "1.0.0";
        let ip = if old {
            json!({ "interface": 0, "address": "127.0.0.1/8", "version": "4" })
        } else {
            json!({ "interface": 0, "address": "127.0.0.1/8" })
        };
        assert_eq!((&result["cniVersion"], &result["ips"][0]), (&json!(version), &ip));
        let interface = json!([{ "name": "lo", "mac": "00:00:00:00:00:00", "sandbox": path }]);
        assert_eq!(result["interfaces"], interface);
        // Twice changes nothing, and behind others it says what they have said.
        assert_eq!(call("ADD", json!({})), result);
        let previous = json!({ "cniVersion": version, "interfaces": [], "ips": [], "dns": { "domain": "x" } });
        assert_eq!(call("ADD", json!({ "prevResult": previous })), previous);
        assert_eq!(call("CHECK", json!({ "prevResult": result })), Value::Null);
        assert_eq!(call("DEL", json!({})), Value::Null);
        assert!(!shown("link").contains("UP"), "{}", shown("link"));
    }
    let runtime = Runtime::new(&fwd, "1.1.0", json!({ "type": "loopback" }));
    assert_eq!(runtime.ok(&[("CNI_COMMAND", "VERSION")], &runtime.config(0, &json!({})))["cniVersion"], "1.1.0");
    for command in ["STATUS", "GC"] {
        assert_eq!(runtime.ok(&[("CNI_COMMAND", command)], &runtime.config(0, &json!({}))), Value::Null);
    }
    // What has gone, or is not known any more, has no loopback to be taken down; the host keeps its own.
    for gone in ["", "/run/netns/none"] {
        assert_eq!(
            runtime.ok(&Runtime::variables("DEL", &container.id, gone), &runtime.config(0, &json!({}))),
            Value::Null
        );
    }
    let add = Runtime::variables("ADD", &container.id, "/run/netns/none");
    runtime.fails(&add, &runtime.config(0, &json!({})), 3, &["/run/netns/none"]);
    for command in ["ADD", "DEL"] {
        let host = Runtime::variables(command, &container.id, "/proc/self/ns/net");
        runtime.fails(&host, &runtime.config(0, &json!({})), 8, &["the host's own namespace"]);
    }
    assert_eq!(fwd.list(&["ls"]), [Value::Null; 0]);
}
