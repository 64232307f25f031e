//! `fwd` as a CNI plugin, called by a runtime of our own: containers get addresses and a way out, and leave nothing behind.

mod addresses;
mod conversation;
mod refused;
mod runner;

use std::net::Ipv4Addr;

use forwarder::{
    dataplane::RunDir,
    testbed::{self, wait_until},
};
use serde_json::{Value, json};

use self::runner::{ABSENT, Container, Runtime, address_of};
use crate::{
    commands::{assert_as_before, snapshot},
    fwd::{Fwd, LIMIT, helper, inside, open, pings},
};

/// Every version, of which the result is as that version has it, and which the real client of it reads.
#[test]
fn container_is_attached_and_detached_in_every_version() {
    let fwd = Fwd::new();
    let runtime = Runtime::new(&fwd, "1.0.0", json!({ "dns": { "nameservers": ["192.0.2.53"] }, "mtu": 1400 }));
    let before = snapshot(&fwd);
    let container = Container::new(&fwd, "c1");
    let mut last = Ipv4Addr::UNSPECIFIED;
    for version in ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"] {
        let runtime = runtime.speaking(version);
        let result = runtime.add(&container, &json!({}));
        let address = address_of(&result);
        assert_ne!(address, last, "an address is not given again at once");
        last = address;
        let interfaces = result["interfaces"].as_array().expect("a list");
        assert_eq!(interfaces.iter().map(|it| &it["name"]).collect::<Vec<_>>()[2], "eth0");
        assert_eq!((&interfaces[0]["name"], &interfaces[2]["sandbox"]), (&json!("web"), &json!(container.path())));
        assert_eq!(interfaces[2]["mtu"], if version == "1.1.0" { json!(1400) } else { Value::Null });
        let gateway = result["ips"][0]["gateway"].clone();
        assert_eq!(result["routes"], json!([{ "dst": "0.0.0.0/0", "gw": gateway }]));
        assert_eq!(result["dns"], json!({ "nameservers": ["192.0.2.53"] }));
        let link = inside(&container, &["ip", "-j", "link", "show", "eth0"]);
        let link: Value = serde_json::from_str(&link).expect("it is JSON");
        assert_eq!((&link[0]["address"], &link[0]["mtu"]), (&interfaces[2]["mac"], &json!(1400)));
        assert!(pings(&container, fwd.uplink(0).outside[0]) && pings(fwd.host(), address));
        let listed = fwd.list(&["ls"]);
        assert_eq!((&listed[0]["owner"], &listed[0]["container"]), (&json!("cni"), &json!(container.id)));
        assert_eq!((&listed[0]["attach"], &listed[0]["network"]), (&json!("clsact"), &json!("web")));
        assert!(fwd.ok(&["ls"]).contains("container c1-012345678"), "{}", fwd.ok(&["ls"]));
        assert!(fwd.ok(&["inspect", container.ns.name().as_str()]).contains(&format!("{}, by cni", container.id)));
        if version >= "0.4.0" {
            runtime.check(&container, &json!({}), &result);
        }
        runtime.del(&container.id, &container.path());
        assert_eq!(fwd.list(&["ls"]).len(), 0);
        assert!(!inside(&container, &["ip", "link"]).contains("eth0"));
    }
    // The bridge stays, as with the plugin of that name, until somebody removes it.
    assert_eq!(fwd.list(&["network", "ls"])[0]["kept"], true);
    fwd.ok(&["network", "rm", "web"]);
    drop(container);
    assert_as_before(&fwd, &before);
}

#[test]
fn containers_may_be_no_ports_of_a_bridge() {
    let fwd = Fwd::new();
    let runtime = Runtime::new(&fwd, "1.0.0", json!({ "bridge": "none" }));
    let [one, other] = ["c1", "c2"].map(|role| Container::new(&fwd, role));
    let result = runtime.add(&one, &json!({}));
    let address = address_of(&runtime.add(&other, &json!({})));
    assert_eq!(result["interfaces"][0]["name"], "web", "the host's interface in the network");
    for listed in fwd.list(&["ls"]) {
        assert_eq!((&listed["network"], &listed["bridgeless"]), (&json!("web"), &json!(true)));
    }
    assert!(pings(&one, address) && pings(&one, fwd.uplink(0).outside[0]) && pings(fwd.host(), address));
    runtime.check(&one, &json!({ "bridge": "none" }), &result);
    for container in [&one, &other] {
        runtime.del(&container.id, &container.path());
    }
    assert_eq!(fwd.list(&["ls"]).len(), 0);
}

/// kubernetes#44307: DEL comes without a namespace, with an empty one, twice, and for what was never there.
#[test]
fn detaching_succeeds_whatever_is_left() {
    let fwd = Fwd::new();
    let runtime = Runtime::new(&fwd, "0.4.0", json!({}));
    runtime.del("never", "/run/netns/never");
    for netns in [ABSENT, "", "/run/netns/gone"] {
        let container = Container::new(&fwd, "c1");
        let first = address_of(&runtime.add(&container, &json!({})));
        runtime.del(&container.id, netns);
        assert_eq!(fwd.list(&["ls"]).len(), 0, "{netns:?}");
        runtime.del(&container.id, netns);
        // The same again, and this time the namespace goes first.
        let second = address_of(&runtime.add(&container, &json!({})));
        assert_ne!(first, second);
        let id = container.id.clone();
        drop(container);
        runtime.del(&id, netns);
        assert_eq!(fwd.list(&["ls"]).len(), 0, "{netns:?}");
    }
    // Somebody else has the namespace's name by now, and a container of his own in it.
    let container = Container::new(&fwd, "c2");
    runtime.add(&container, &json!({}));
    let id = container.id.clone();
    drop(container);
    let other = Container { id: "other".into(), ..Container::new(&fwd, "c2") };
    runtime.add(&other, &json!({}));
    runtime.del(&id, &other.path());
    assert!(pings(&other, fwd.uplink(0).outside[0]), "it goes on");
    assert_eq!(fwd.list(&["ls"]).len(), 1);
    // What an uplink that is gone leaves can be detached, too.
    inside(fwd.internet(0), &["ip", "link", "del", "inet0"]);
    runtime.del(&other.id, &other.path());
    assert_eq!(fwd.list(&["ls"]).len(), 0);
}

/// What another version has attached is detached all the same; everything else is refused beside it.
#[test]
fn container_of_another_version_can_be_detached() {
    let fwd = Fwd::new();
    let runtime = Runtime::new(&fwd, "1.0.0", json!({}));
    let [one, other] = ["c1", "c2"].map(|role| Container::new(&fwd, role));
    for container in [&one, &other] {
        runtime.add(container, &json!({}));
    }
    let pins = RunDir::new(fwd.pins()).of(fwd.host().cookie().expect("a cookie"));
    // As far as this version can tell.
    std::fs::rename(&pins, pins.with_file_name("v4000")).expect("another name");
    let path = one.path();
    let config = runtime.config(0, &json!({}));
    runtime.fails(&Runtime::variables("ADD", "third", &path), &config, 7, &["another version", "down --all"]);
    runtime.del(&one.id, "");
    runtime.del(&one.id, "");
    let has = |container: &Container| inside(container, &["ip", "link"]).contains("eth0");
    assert!(!has(&one) && has(&other));
    assert!(pings(&other, fwd.uplink(0).outside[0]), "it goes on");
    fwd.ok(&["down", "--all"]);
}

/// CNI plugins #252: what a reboot leaves takes no address. containerd#5438: nor does what a runtime has given up without DEL.
#[test]
fn addresses_of_containers_that_are_gone_are_free() {
    let fwd = Fwd::new();
    let config = json!({ "ipam": { "ranges": [[{ "subnet": "10.7.0.0/24", "rangeStart": "10.7.0.8", "rangeEnd": "10.7.0.11" }]] } });
    let runtime = Runtime::new(&fwd, "1.0.0", config);
    for round in 0..3 {
        let containers: Vec<Container> = (0..4).map(|number| Container::new(&fwd, &format!("c{number}"))).collect();
        let mut addresses: Vec<Ipv4Addr> =
            containers.iter().map(|it| address_of(&runtime.add(it, &json!({})))).collect();
        addresses.sort_unstable();
        assert_eq!(addresses, [8, 9, 10, 11].map(|last| Ipv4Addr::new(10, 7, 0, last)), "round {round}");
        let more = Container::new(&fwd, "c9");
        let variables = Runtime::variables("ADD", &more.id, "/run/netns/none");
        runtime.fails(&variables, &runtime.config(0, &json!({})), 3, &["/run/netns/none"]);
        let path = more.path();
        let variables = Runtime::variables("ADD", &more.id, &path);
        runtime.fails(&variables, &runtime.config(0, &json!({})), 104, &["10.7.0.8 to 10.7.0.11"]);
        let status = runtime.speaking("1.1.0");
        status.fails(&[("CNI_COMMAND", "STATUS")], &status.config(0, &json!({})), 50, &["no address left"]);
        // No DEL: the namespaces go, and the kernel removes what was in them in its own time.
        drop(containers);
        let gone = || Ok(fwd.list(&["ls"]).iter().all(|it| it["gone"] == true).then_some(()));
        wait_until(LIMIT, "the veth pairs go with the namespaces", gone).expect("they go");
    }
}

/// A call that the runtime ends after a time leaves nothing that is in anybody's way (containerd#5438).
#[test]
fn killed_call_is_completed_or_cleared_by_the_next() {
    let fwd = Fwd::new();
    let runtime = Runtime::new(&fwd, "1.0.0", json!({}));
    let kept = Container::new(&fwd, "kept");
    runtime.add(&kept, &json!({}));
    let ports = json!({ "portMappings": [{ "hostPort": 8080, "containerPort": 80 }] });
    // What is loaded with the first published port stays.
    let first = Container::new(&fwd, "c1");
    runtime.add(&first, &ports);
    runtime.del(&first.id, &first.path());
    drop(first);
    let between = snapshot(&fwd);
    for after in 0.. {
        let container = Container::new(&fwd, "c1");
        let killed = |command: &str| {
            let config = runtime.config(0, &json!({ "runtimeConfig": ports })).to_string();
            let path = container.path();
            let variables = Runtime::variables(command, &container.id, &path);
            let (helper, after) = (helper(), after.to_string());
            let words = [helper.to_str().expect("a plain path"), "die-after", &after, "fwd"];
            let output = testbed::run(runtime.command(&words, &variables, &config), LIMIT).expect("it ends");
            output.status.success()
        };
        // Whoever was killed is cleared by DEL, or by nobody at all.
        let ended = killed("ADD");
        if after % 2 == 0 {
            killed("DEL");
            runtime.del(&container.id, &container.path());
            assert_eq!(fwd.list(&["ls"]).len(), 1, "after {after}");
        }
        let (id, path) = (container.id.clone(), container.path());
        drop(container);
        let container = Container { id, ..Container::new(&fwd, "c1") };
        assert_eq!(container.path(), path);
        let result = runtime.add(&container, &ports);
        assert!(pings(&container, fwd.uplink(0).outside[0]), "after {after}");
        runtime.check(&container, &ports, &result);
        runtime.del(&container.id, &container.path());
        drop(container);
        assert_as_before(&fwd, &between);
        if ended {
            assert!(after > 3, "a plan of {after} operations is no plan");
            break;
        }
    }
}

/// The namespace of a container that was given up may live on for a moment, with its endpoint.
#[test]
fn container_that_is_started_again_takes_over_what_its_former_namespace_holds() {
    let fwd = Fwd::new();
    let runtime = Runtime::new(&fwd, "1.1.0", json!({}));
    let ports = json!({ "portMappings": [{ "hostPort": 8080, "containerPort": 80, "protocol": "tcp" }] });
    let former = Container::new(&fwd, "c1");
    runtime.add(&former, &ports);
    let held = open(&fwd.name("c1"));
    let id = former.id.clone();
    drop(former);
    let again = Container { id, ..Container::new(&fwd, "c1") };
    let result = runtime.add(&again, &ports);
    runtime.check(&again, &ports, &result);
    assert!(pings(&again, fwd.uplink(0).outside[0]));
    assert_eq!(fwd.list(&["ls"]).len(), 1, "the former one is gone");
    drop(held);
}

/// go-cni attaches the networks of a container side by side.
#[test]
fn networks_are_attached_side_by_side() {
    let fwd = Fwd::new();
    let container = Container::new(&fwd, "c1");
    let runtime = Runtime::new(&fwd, "1.0.0", json!({}));
    let networks = ["front", "back", "store"];
    std::thread::scope(|scope| {
        for (number, network) in networks.into_iter().enumerate() {
            let (runtime, container) = (&runtime, &container);
            scope.spawn(move || {
                let (path, ifname) = (container.path(), format!("eth{number}"));
                let mut variables = Runtime::variables("ADD", &container.id, &path);
                variables.retain(|(name, _)| *name != "CNI_IFNAME");
                variables.push(("CNI_IFNAME", &ifname));
                runtime.ok(&variables, &runtime.config(0, &json!({ "name": network })));
            });
        }
    });
    let routes = inside(&container, &["ip", "route", "show", "default"]);
    assert_eq!(routes.lines().count(), 1, "the first default route wins: {routes}");
    assert!(pings(&container, fwd.uplink(0).outside[0]));
    assert_eq!(fwd.list(&["ls"]).len(), networks.len());
    // Each has an identity of its own: GC of one network leaves the others alone, whichever name the key has (cni#1101).
    let runtime = runtime.speaking("1.1.0");
    let gc = |network: &str, extra: Value| {
        let mut config = runtime.config(0, &json!({ "name": network }));
        config.as_object_mut().expect("an object").extend(extra.as_object().expect("an object").clone());
        runtime.ok(&[("CNI_COMMAND", "GC")], &config);
        fwd.list(&["ls"]).len()
    };
    let valid = json!([{ "containerID": container.id, "ifname": "eth0" }]);
    assert_eq!(gc("front", json!({})), 3, "nothing is said");
    assert_eq!(gc("front", json!({ "cni.dev/valid-attachments": valid })), 3, "it is valid");
    assert_eq!(gc("back", json!({ "cni.dev/attachments": valid })), 2, "eth1 is not");
    assert_eq!(gc("other", json!({ "cni.dev/valid-attachments": [] })), 2, "of another network");
    assert_eq!(gc("store", json!({ "cni.dev/valid-attachments": [] })), 1);
    fwd.up("cli", &["--network", "front"]);
    assert_eq!(gc("front", json!({ "cni.dev/valid-attachments": [] })), 1, "what the command line has made stays");
}
