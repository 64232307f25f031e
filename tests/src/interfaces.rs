//! Namespaces with several interfaces, each in a network of its own, and what `up` may set inside.

use serde_json::{Value, json};

use crate::{
    commands::{assert_as_before, assert_reaches_outside, exists, snapshot},
    fwd::{Fwd, Pod, answers, inside, pings, text, try_inside},
    peers::{ANY, any, at, connect, echo_tcp, echoed, listen},
};

/// Another interface of a namespace that is up.
#[track_caller]
fn second(fwd: &Fwd, pod: &Pod, options: &[&str]) -> Value {
    fwd.json(&[&["up", "--ns", &pod.name, "--ifname", "eth1"], options].concat())
}

#[track_caller]
fn routes(pod: &Pod) -> String {
    inside(pod, &["ip", "-4", "route", "show", "default"])
}

#[test]
fn namespace_is_in_two_networks_by_two_interfaces() {
    for datapath in ["tc", "kernel"] {
        let fwd = Fwd::new();
        let before = snapshot(&fwd);
        let kind = ["--datapath", datapath];
        let web = fwd.up("web", &[&["--network", "front"], &kind[..]].concat());
        let db = fwd.up("db", &[&["--network", "back", "--internal"], &kind[..]].concat());
        assert!(!answers(&web, db.address), "networks do not reach each other: {datapath}");
        let shown = second(&fwd, &web, &["--network", "back"]);
        assert_eq!(
            (&shown["ns_if"], &shown["network"], &shown["changed"]),
            (&json!("eth1"), &json!("back"), &json!(true))
        );
        // Both ways, and out by the first alone.
        let address = crate::fwd::address(&shown["addresses"][0]);
        assert!(pings(&web, db.address) && pings(&db, address), "{datapath}");
        assert_reaches_outside(&fwd, &web);
        let _server = listen(&db, any(5432));
        connect(&web, at(address, 0), at(db.address, 5432)).expect("it connects");
        assert!(!answers(&db, web.address), "the first interface is not in the second's network: {datapath}");
        assert!(routes(&web).contains("dev eth0") && !routes(&web).contains("eth1"), "{}", routes(&web));
        // Each by itself, and nothing changes.
        for (options, ifname) in [(&[][..], "eth0"), (&["--network", "back"], "eth1"), (&["--ifname", "eth1"], "eth1")]
        {
            let again = fwd.up("web", options);
            assert_eq!(
                (&again.shown["changed"], &again.shown["ns_if"]),
                (&json!(false), &json!(ifname)),
                "{options:?}"
            );
        }
        assert_eq!(fwd.list(&["ls", &web.name]).len(), 2);
        assert!(fwd.ok(&["ls"]).contains(&format!("{} eth1", web.name)), "{}", fwd.ok(&["ls"]));
        let of = |ifname| fwd.json(&["inspect", &web.name, "--ifname", ifname]);
        assert_eq!((&of("eth1")["network"], &of("eth0")["network"]), (&json!("back"), &json!("front")));
        fwd.expect_error(&["inspect", &web.name], 2, &["eth0, eth1", "--ifname eth0"]);
        fwd.ok(&["down", "--ns", &web.name, "--ifname", "eth1"]);
        assert!(exists(&web.name) && try_inside(&web, &["ip", "link", "show", "eth1"]).status.code() == Some(1));
        assert!(!answers(&web, db.address));
        assert_reaches_outside(&fwd, &web);
        second(&fwd, &web, &["--network", "back"]);
        fwd.down("web");
        assert!(!exists(&web.name), "both go");
        fwd.down("db");
        assert_as_before(&fwd, &before);
    }
}

/// Root inside owns its stack, but each interface speaks for itself alone.
#[test]
fn interface_speaks_with_no_other_interfaces_address() {
    let fwd = Fwd::new();
    let web = fwd.up("web", &["--network", "front"]);
    let db = fwd.up("db", &["--network", "back"]);
    second(&fwd, &web, &["--network", "back"]);
    let from = web.address.to_string();
    let to = db.address.to_string();
    assert!(!try_inside(&web, &["ping", "-n", "-c1", "-W1", "-I", &from, &to]).status.success());
    // The question for the neighbour names the address already.
    let dropped = |reason| fwd.counted("from_ns", "dropped", Some(reason));
    assert!(dropped("ArpSpoof") + dropped("SpoofedSource") >= 1);
}

#[test]
fn metric_decides_between_two_ways_out() {
    let fwd = Fwd::with(&forwarder::testbed::TestbedSpec { uplinks: 2, ..Default::default() });
    let pod = fwd.up("c1", &["--network", "one", "--uplink", "eth0", "--metric", "100"]);
    let shown = second(&fwd, &pod, &["--network", "two", "--uplink", "eth1", "--metric", "50"]);
    assert_eq!((&shown["metric"], &shown["default_route"]), (&json!(50), &json!(true)));
    let shown = routes(&pod);
    assert!(shown.contains("metric 100") && shown.contains("metric 50"), "{shown}");
    assert!(pings(&pod, fwd.uplink(1).outside[0]), "by the lower metric");
    fwd.ok(&["down", "--ns", &pod.name, "--ifname", "eth1"]);
    assert!(pings(&pod, fwd.uplink(0).outside[0]), "by the one that is left");
    fwd.expect_error(&["up", "--ns", &pod.name, "--metric", "7"], 4, &["metric", "100", "7"]);
}

#[test]
fn hardware_address_gateway_and_routes_are_as_they_were_asked_for() {
    let fwd = Fwd::new();
    let before = snapshot(&fwd);
    let options = ["--subnet", "10.9.0.0/24", "--gateway", "10.9.0.254", "--mac", "02:00:00:00:00:01"];
    let routed = ["--no-default-route", "--route", "203.0.113.0/24"];
    let pod = fwd.up("c1", &[&options[..], &routed].concat());
    assert_eq!((pod.gateway.to_string(), pod.address.to_string()), ("10.9.0.254".into(), "10.9.0.1".into()));
    assert_eq!(pod.shown["routes"], json!(["203.0.113.0/24 via 10.9.0.254"]));
    assert!(inside(&pod, &["ip", "link", "show", "eth0"]).contains("02:00:00:00:00:01"));
    assert!(inside(&pod, &["ip", "route"]).contains("203.0.113.0/24 via 10.9.0.254 dev eth0"));
    assert_eq!(routes(&pod), "");
    assert_reaches_outside(&fwd, &pod);
    let other = fwd.up("c2", &[]);
    assert!(pings(&pod, other.address) && pings(&other, pod.address), "neighbours know the address");
    assert_eq!(text(&fwd.json(&["inspect", &pod.name])["mac"]), "02:00:00:00:00:01");
    assert_eq!(fwd.up("c1", &routed).shown["changed"], false);
    let name = fwd.name("c3");
    for (options, code, words) in [
        (&["--mac", "02:00:00:00:00:01"][..], 4, &["02:00:00:00:00:01", &pod.name][..]),
        (&["--mac", "03:00:00:00:00:01"], 2, &["03:00:00:00:00:01"]),
        (&["--gateway", "10.9.0.1"], 4, &["gateway is 10.9.0.254"]),
        (&["--network", "x", "--gateway", "10.1.1.1"], 2, &["gateway 10.1.1.1", "leave out --gateway"]),
        (&["--route", "0.0.0.0/0"], 2, &["default route"]),
        (&["--route", "192.0.2.0/24=10.9.0.9"], 5, &["destination alone", "--datapath kernel"]),
        (&["--ifname", "a/b"], 2, &["a/b", "--ifname eth1"]),
    ] {
        fwd.expect_error(&[&["up", "--ns", &name], options].concat(), code, words);
    }
    fwd.ok(&["down", "--all"]);
    assert_as_before(&fwd, &before);
}

/// podman#26044: a namespace in two networks publishes one port, and it leads there once.
#[test]
fn port_of_a_namespace_in_two_networks_is_published_once() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &["--network", "front", "-p", "8080:80"]);
    let refused = ["up", "--ns", &pod.name, "--ifname", "eth1", "--network", "back", "-p", "8080:80"];
    fwd.expect_error(&refused, 4, &["8080:80/tcp", &pod.name]);
    second(&fwd, &pod, &["--network", "back", "-p", "8081:80"]);
    let _server = listen(&pod, any(80));
    let client = || at(fwd.uplink(0).outside[0], 0);
    connect(fwd.internet(0), client(), at(fwd.uplink(0).address, 8080)).expect("by the first network");
    let published: Vec<String> = fwd.list(&["port", "ls"]).iter().map(|it| text(&it["published"])).collect();
    assert_eq!(published, ["8080:80/tcp", "8081:80/tcp"]);
}

/// What is asked at a port of the second interface would be answered by the first, which has the default route.
#[test]
fn port_of_an_interface_without_default_route_says_how_it_is_answered() {
    let fwd = Fwd::new();
    let web = fwd.up("web", &["--network", "front"]);
    let options = ["--network", "back", "-p", "8080:80"];
    let said = fwd.call(&[&["up", "--ns", &web.name, "--ifname", "eth1"], &options[..]].concat());
    assert!(said.status.success() && said.stderr.contains("SpoofedSource"), "{}", said.stderr);
    let added = fwd.call(&["port", "add", &web.name, "--ifname", "eth1", "-p", "9090:90"]);
    assert!(added.status.success() && added.stderr.contains("ip rule add from"), "{}", added.stderr);
    fwd.expect_error(&["port", "add", &web.name, "--ifname", "eth2", "-p", "9091:90"], 3, &["eth2", "not up"]);
    // Of the first nothing is said.
    assert_eq!(fwd.call(&["port", "add", &web.name, "-p", "9092:92"]).stderr, "");
    // As it is told to.
    let told = added.stderr.split('`').filter(|part| part.starts_with("ip r")).collect::<Vec<_>>();
    assert_eq!(told.len(), 2, "{}", added.stderr);
    for command in told {
        inside(&web, &command.split(' ').collect::<Vec<_>>());
    }
    let served = echo_tcp(listen(&web, any(80)), 1);
    let asked_at = at(fwd.uplink(0).address, 8080);
    echoed(&connect(fwd.internet(0), ANY, asked_at).expect("it is answered"), b"by the second interface");
    served.join().expect("the server");
}
