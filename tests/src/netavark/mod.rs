//! `fwd` as a plugin of netavark, called as podman and netavark call it: containers get addresses, names, ports and a way out, and leave
//! nothing behind.

mod others;
mod podman;
mod refused;
mod replacement;

use forwarder::testbed::TestbedSpec;
use serde_json::{Value, json};

use self::podman::{Podman, with};
use crate::{
    commands::{assert_as_before, snapshot},
    fwd::{Fwd, answers, inside, open, pings, pings6, text},
    peers::{ANY, at, connect},
    runtimes::{Container, served},
};

#[test]
fn container_is_attached_and_detached_and_takes_the_network_with_it() {
    let fwd = Fwd::new();
    let podman = Podman::new(&fwd);
    let before = snapshot(&fwd);
    let network = podman.create(&json!({ "name": "web", "dns_enabled": false, "options": { "mtu": "1400" } }));
    let subnet = &network["subnets"][0];
    assert_eq!((&network["driver"], &network["ipam_options"]["driver"]), (&json!("fwd"), &json!("host-local")));
    assert!(text(&subnet["gateway"]).ends_with(".1"), "{network}");
    assert_as_before(&fwd, &before);
    let container = Container::new(&fwd, "c1");
    let mac = "02:00:00:00:00:07";
    let asked = podman.container(&container, &network, 7, json!({ "static_mac": mac }));
    let status = podman.setup(&container, &asked);
    let interface = &status["interfaces"]["eth0"];
    let address = text(&asked["network_options"]["static_ips"][0]);
    assert_eq!(interface["mac_address"], mac);
    assert_eq!(interface["subnets"], json!([{ "ipnet": format!("{address}/24"), "gateway": subnet["gateway"] }]));
    assert_eq!((&status["dns_server_ips"], &status["dns_search_domains"]), (&json!([]), &json!([])));
    let link: Value = serde_json::from_str(&inside(&container, &["ip", "-j", "link", "show", "eth0"])).expect("JSON");
    assert_eq!((&link[0]["address"], &link[0]["mtu"]), (&json!(mac), &json!(1400)));
    let address = address.parse().expect("an address");
    assert!(pings(&container, fwd.uplink(0).outside[0]) && pings(fwd.host(), address));
    let listed = &fwd.list(&["ls"])[0];
    assert_eq!((&listed["owner"], &listed["container"]), (&json!("netavark"), &json!(container.id)));
    // What is up is chosen for nobody else.
    let other = podman.create(&json!({ "name": "other" }));
    assert_ne!(other["subnets"][0]["subnet"], subnet["subnet"]);
    for _ in 0..2 {
        podman.teardown(&container, &asked);
        assert_eq!((fwd.list(&["ls"]).len(), fwd.list(&["network", "ls"]).len()), (0, 0));
    }
    assert!(!inside(&container, &["ip", "link"]).contains("eth0"));
    drop(container);
    assert_as_before(&fwd, &before);
}

#[test]
fn containers_may_be_no_ports_of_a_bridge() {
    let fwd = Fwd::new();
    let podman = Podman::new(&fwd);
    let network = podman.create(&json!({ "name": "many", "options": { "bridge": "none" } }));
    let [one, other] = ["c1", "c2"].map(|role| Container::new(&fwd, role));
    let asked = [(&one, 7), (&other, 8)].map(|(it, last)| podman.container(it, &network, last, json!({})));
    for (container, asked) in [&one, &other].into_iter().zip(&asked) {
        podman.setup(container, asked);
    }
    assert!(fwd.list(&["ls"]).iter().all(|it| it["bridgeless"] == true));
    let address = text(&asked[1]["network_options"]["static_ips"][0]).parse().expect("an address");
    assert!(pings(&one, address) && pings(&one, fwd.uplink(0).outside[0]) && pings(fwd.host(), address));
    for (container, asked) in [&one, &other].into_iter().zip(&asked) {
        podman.teardown(container, asked);
    }
    assert_eq!(fwd.list(&["network", "ls"]).len(), 0);
}

/// The same ports come once for each network of a container: one of them has them, and another takes over when it is disconnected.
#[test]
fn ports_lead_to_a_container_whichever_of_its_networks_it_leaves() {
    let fwd = Fwd::new();
    let podman = Podman::new(&fwd);
    let ports = json!([{ "host_ip": "", "host_port": 8080, "container_port": 80, "protocol": "tcp,udp", "range": 2 }]);
    let vault = podman.create(&json!({ "name": "vault", "internal": true }));
    let [front, back] =
        ["front", "back"].map(|name| podman.create(&json!({ "name": name, "subnets": podman.subnet(name) })));
    let container = Container::new(&fwd, "c1");
    let attached = |network: &Value, ifname: &str| {
        let options = json!({ "interface_name": ifname });
        with(&podman.container(&container, network, 9, options), json!({ "port_mappings": ports }))
    };
    let [inner, first, second] =
        [(&vault, "eth0"), (&front, "eth1"), (&back, "eth2")].map(|(network, ifname)| attached(network, ifname));
    for asked in [&inner, &first, &second] {
        podman.setup(&container, asked);
    }
    let host = fwd.uplink(0).address;
    let published = || -> Vec<Value> { fwd.list(&["ls"]).iter().map(|it| it["published"].clone()).collect() };
    let both = json!(["8080-8081:80-81/tcp", "8080-8081:80-81/udp"]);
    assert_eq!(published().iter().filter(|it| **it == both).count(), 1);
    served(fwd.internet(0), host, 8080, &container);
    podman.teardown(&container, &first);
    assert_eq!(published().iter().filter(|it| **it == both).count(), 1, "the other one has them now");
    let routes = inside(&container, &["ip", "route", "show", "default"]);
    assert!(
        routes.lines().count() == 1 && routes.contains("10.7.2.1 dev eth2") && routes.contains("metric 101"),
        "{routes}"
    );
    served(fwd.internet(0), host, 8080, &container);
    // Somebody else's are not his.
    let other = Container::new(&fwd, "c2");
    let taken = with(&podman.container(&other, &front, 10, json!({})), json!({ "port_mappings": ports }));
    podman.fails(&["setup", &other.path()], &taken, &["8080-8081:80-81/tcp leads to", "-c1 already"]);
    podman.teardown(&container, &second);
    podman.teardown(&container, &inner);
    assert!(connect(fwd.internet(0), ANY, at(host, 8080)).is_err());
    podman.setup(&other, &taken);
    served(fwd.internet(0), host, 8080, &other);
}

#[test]
fn containers_find_one_another_by_name_and_alias() {
    let fwd = Fwd::new();
    let podman = Podman::new(&fwd);
    let network = podman.create(&json!({ "name": "site", "dns_enabled": true }));
    let [one, two] = ["c1", "c2"].map(|role| Container::new(&fwd, role));
    let first = podman.container(&one, &network, 5, json!({ "aliases": ["c10123456789", "db", "-x-"] }));
    let first = with(&first, json!({ "container_name": "some_db" }));
    let status = podman.setup(&one, &first);
    let gateway = network["subnets"][0]["gateway"].clone();
    assert_eq!((&status["dns_server_ips"], &status["dns_search_domains"]), (&json!([gateway]), &json!(["site"])));
    podman.setup(&two, &podman.container(&two, &network, 6, json!({})));
    let server = format!("@{}", text(&gateway));
    let address = text(&first["network_options"]["static_ips"][0]);
    for name in ["some_db", "some_db.site", "db", "c10123456789"] {
        assert_eq!(inside(&two, &["dig", "+short", "+tries=1", &server, name]).trim(), address, "{name}");
    }
    podman.teardown(&one, &first);
    assert_eq!(inside(&two, &["dig", "+short", "+tries=1", &server, "db.site"]).trim(), "");
}

#[test]
fn routes_metrics_and_both_families_are_as_the_network_says() {
    let fwd = Fwd::with(&TestbedSpec { ipv6: true, ..TestbedSpec::default() });
    let podman = Podman::new(&fwd);
    let routes = json!([{ "destination": "203.0.113.0/24", "gateway": "10.7.1.1" }]);
    let front = podman
        .create(&json!({ "name": "front", "ipv6_enabled": true, "routes": routes, "subnets": podman.subnet("front"),
        "options": { "metric": "200" } }));
    let subnet6 = text(&front["subnets"][1]["subnet"]);
    assert!(subnet6.ends_with("::/64") && text(&front["subnets"][1]["gateway"]).ends_with("::1"), "{front}");
    let container = Container::new(&fwd, "c1");
    let asked = podman.container(&container, &front, 9, json!({}));
    let status = podman.setup(&container, &asked);
    let addresses = &status["interfaces"]["eth0"]["subnets"];
    assert_eq!(
        (&addresses[0]["ipnet"], text(&addresses[1]["ipnet"])),
        (&json!("10.7.1.9/24"), subnet6.replace("::/", "::9/"))
    );
    let route = |words: &[&str]| inside(&container, &[&["ip"], words].concat());
    assert!(route(&["route", "show", "default"]).contains("metric 200"));
    assert!(route(&["route", "show", "203.0.113.0/24"]).contains("via 10.7.1.1"));
    let outside = fwd.uplink(0).ipv6.expect("it has IPv6").outside;
    assert!(pings(&container, fwd.uplink(0).outside[0]) && pings6(&container, outside));
    // Of a second network the container is told otherwise: no way out by it.
    let back = podman.create(&json!({ "name": "back", "subnets": podman.subnet("back") }));
    let options = json!({ "interface_name": "eth1", "options": { "no_default_route": "true" } });
    podman.setup(&container, &podman.container(&container, &back, 3, options));
    assert_eq!(route(&["route", "show", "default"]).lines().count(), 1);
    // Nothing leaves one that is internal, and it has no gateway to tell.
    let vault = podman.create(&json!({ "name": "vault", "internal": true, "subnets": podman.subnet("vault") }));
    let alone = Container::new(&fwd, "c2");
    let status = podman.setup(&alone, &podman.container(&alone, &vault, 4, json!({})));
    assert_eq!(status["interfaces"]["eth0"]["subnets"], json!([{ "ipnet": "10.7.3.4/24" }]));
    assert!(
        !answers(&alone, fwd.uplink(0).outside[0]) && !answers(&container, "10.7.3.4".parse().expect("an address"))
    );
}

#[test]
fn network_may_have_ipv6_alone() {
    let fwd = Fwd::with(&TestbedSpec { ipv6: true, ..TestbedSpec::default() });
    let podman = Podman::new(&fwd);
    let site = podman.create(&json!({ "name": "site", "subnets": [{ "subnet": "fd00:7::/64" }] }));
    assert_eq!(
        (&site["ipv6_enabled"], &site["subnets"]),
        (&json!(true), &json!([{ "subnet": "fd00:7::/64", "gateway": "fd00:7::1" }]))
    );
    let container = Container::new(&fwd, "c1");
    let asked = podman.container(&container, &site, 9, json!({}));
    let status = podman.setup(&container, &asked);
    assert_eq!(status["interfaces"]["eth0"]["subnets"], json!([{ "ipnet": "fd00:7::9/64", "gateway": "fd00:7::1" }]));
    assert!(pings6(&container, fwd.uplink(0).ipv6.expect("it has IPv6").outside));
    assert_eq!(inside(&container, &["ip", "-4", "addr", "show", "eth0"]), "");
    podman.teardown(&container, &asked);
    assert_eq!(fwd.list(&["network", "ls"]).len(), 0);
}

/// A machine that starts, or one without a network: what is published is reached from the host, and from outside as soon as there is one.
#[test]
fn network_is_made_without_a_way_out_and_leaves_by_the_first_that_comes() {
    let fwd = Fwd::new();
    let podman = Podman::new(&fwd);
    let (gateway, uplink) = (fwd.uplink(0).gateway.to_string(), fwd.uplink(0).name.as_str());
    fwd.on_host(&["ip", "link", "set", uplink, "down"]);
    let network = podman.create(&json!({ "name": "site", "subnets": podman.subnet("front") }));
    let ports = json!([{ "host_port": 8080, "container_port": 80, "protocol": "tcp", "range": 1 }]);
    let [one, two] = ["c1", "c2"].map(|role| Container::new(&fwd, role));
    let first = with(&podman.container(&one, &network, 9, json!({})), json!({ "port_mappings": ports }));
    podman.setup(&one, &first);
    let shown = |key: &str| fwd.list(&["network", "ls"])[0][key].clone();
    assert_eq!((shown("uplink_state"), shown("internal")), (json!("none"), json!(false)));
    assert!(fwd.ok(&["ls"]).contains("uplink none yet"));
    let address = "10.7.1.9".parse().expect("an address");
    assert!(pings(fwd.host(), address));
    fwd.on_host(&["ip", "link", "set", uplink, "up"]);
    fwd.on_host(&["ip", "route", "add", "default", "via", &gateway, "dev", uplink]);
    podman.setup(&two, &podman.container(&two, &network, 10, json!({})));
    assert_eq!((shown("uplink_state"), shown("uplink")), (json!("up"), json!(uplink)));
    assert!(pings(&one, fwd.uplink(0).outside[0]));
    served(fwd.internet(0), fwd.uplink(0).address, 8080, &one);
}

/// netavark#1451: where the namespace is lost there is no teardown. The same container, started again, gets its addresses and ports all the same,
/// even while somebody still holds the former namespace.
#[test]
fn container_that_lost_its_namespace_starts_again() {
    let fwd = Fwd::new();
    let podman = Podman::new(&fwd);
    let networks =
        ["front", "back"].map(|name| podman.create(&json!({ "name": name, "subnets": podman.subnet(name) })));
    let ports = json!([{ "host_port": 8080, "container_port": 80, "protocol": "tcp", "range": 1 }]);
    let former = Container::new(&fwd, "c1");
    let asked = |place: usize| {
        let options = json!({ "interface_name": format!("eth{place}") });
        let asked = podman.container(&former, &networks[place], 9, options);
        with(&asked, json!({ "port_mappings": ports }))
    };
    let asked = [asked(1), asked(0)];
    for network in &asked {
        podman.setup(&former, network);
    }
    let held = open(former.ns.name().as_str());
    let (id, path) = (former.id.clone(), former.path());
    drop(former);
    let again = Container { id, ..Container::new(&fwd, "c1") };
    // In the other order: what is in the way is another interface of the container.
    for network in asked.iter().rev() {
        podman.setup(&again, network);
    }
    served(fwd.internet(0), fwd.uplink(0).address, 8080, &again);
    assert_eq!(fwd.list(&["ls"]).len(), 2, "the former ones are gone");
    drop((again, held));
    for network in &asked {
        podman.ok(&["teardown", &path], network);
    }
    assert_eq!(fwd.list(&["network", "ls"]).len(), 0);
}
