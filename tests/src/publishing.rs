//! How ports are published, listed and withdrawn, and what is refused.

use forwarder::netns::Netns;
use serde_json::{Value, json};

use super::fwd::{Fwd, Pod, answers, inside, text};
use crate::peers::{ANY, any, asked, at, connect, echo_tcp, echo_udp, echoed, listen, udp};

const CLIENT: u16 = 40_123;

/// The ports that lead to a namespace, as `fwd ls` has them.
#[track_caller]
fn published(fwd: &Fwd, pod: &Pod) -> Value {
    let listed = fwd.list(&["ls"]);
    listed.iter().find(|it| it["ns"] == *pod.name).unwrap_or_else(|| panic!("{} is not listed", pod.name))["published"]
        .clone()
}

fn reaches(fwd: &Fwd, port: u16) -> bool {
    let client = at(fwd.uplink(0).outside[0], CLIENT);
    connect(fwd.internet(0), client, at(fwd.uplink(0).address, port)).is_ok()
}

#[test]
fn ports_of_a_namespace_that_is_up_come_and_go() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    let _server = listen(&pod, any(80));
    assert!(!reaches(&fwd, 8080));
    let added = fwd.json(&["port", "add", &pod.name, "-p", "8080:80", "-p", "30000-39999:80-10079/udp"]);
    assert_eq!(
        added,
        json!({ "ns": pod.name, "changed": true, "published": ["8080:80/tcp", "30000-39999:80-10079/udp"] })
    );
    assert!(reaches(&fwd, 8080));
    assert_eq!(published(&fwd, &pod), added["published"]);
    let again = fwd.json(&["port", "add", "--ns", &pod.name, "-p", "8080:80/tcp"]);
    assert_eq!(again["changed"], false);
    let listed = fwd.list(&["port", "ls", &pod.name]);
    assert_eq!(listed.len(), 2);
    assert_eq!((&listed[0]["host_ports"], &listed[0]["ports"]), (&json!([8080, 8080]), &json!([80, 80])));
    assert_eq!((&listed[0]["host_address"], &listed[0]["shadows"]), (&Value::Null, &Value::Null));
    assert_eq!(text(&listed[0]["address"]), pod.address.to_string());
    let left = fwd.json(&["port", "rm", &pod.name, "-p", "8080:80"]);
    assert_eq!((&left["changed"], &left["published"]), (&json!(true), &json!(["30000-39999:80-10079/udp"])));
    assert!(!reaches(&fwd, 8080));
    fwd.expect_error(&["port", "rm", &pod.name, "-p", "8080:80"], 3, &["8080:80/tcp", "port ls"]);
    // Who publishes more by `up` keeps what is there.
    let more = fwd.up("c1", &["-p", "443:80"]);
    assert_eq!(more.shown["published"], json!(["443:80/tcp", "30000-39999:80-10079/udp"]));
    assert_eq!(fwd.up("c1", &[]).shown["changed"], false);
}

#[test]
fn conversations_that_began_by_a_port_end_when_it_is_withdrawn() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &["-p", "5000:5000/udp", "-p", "5001:5001/udp"]);
    let client = udp(fwd.internet(0), at(fwd.uplink(0).outside[0], CLIENT));
    for port in [5000, 5001] {
        let server = echo_udp(udp(&pod, any(port)), 1);
        asked(&client, at(fwd.uplink(0).address, port), b"hello");
        server.join().expect("the server");
    }
    fwd.ok(&["port", "rm", &pod.name, "-p", "5000:5000/udp"]);
    let flows = fwd.list(&["flows", "--ns", &pod.name]);
    let left: Vec<&Value> = flows.iter().map(|flow| &flow["nat_port"]).collect();
    assert_eq!(left, [5001]);
}

#[test]
fn one_port_leads_to_one_namespace() {
    let fwd = Fwd::new();
    let (one, two) = (fwd.up("c1", &["-p", "8000-8009:80-89", "-p", "53:53/udp"]), fwd.up("c2", &[]));
    let address = fwd.uplink(0).address;
    for ports in ["8009:80".into(), "7000-9000:7000-9000".into(), format!("{address}:8005:1")] {
        let words = ["8000-8009:80-89/tcp", &one.name, "port rm --ns"];
        fwd.expect_error(&["port", "add", &two.name, "-p", &ports], 4, &words);
        fwd.expect_error(&["up", "--ns", &two.name, "-p", &ports], 4, &words);
    }
    fwd.expect_error(&["port", "add", &one.name, "-p", "8000:8000"], 4, &["8000-8009:80-89/tcp", &one.name]);
    fwd.expect_error(&["port", "add", &two.name, "-p", "1:1", "-p", "1:2"], 2, &["1:1/tcp", "once"]);
    fwd.ok(&["port", "add", &two.name, "-p", "8000-8009:80-89/udp", "-p", "53:53/tcp"]);
    assert_eq!(published(&fwd, &one).as_array().map(Vec::len), Some(2), "nothing has changed");
    // As its user pastes it.
    let refused = fwd.call(&["port", "add", &two.name, "-p", "8009:80"]).stderr;
    let remedy = refused.split('`').nth(1).unwrap_or_else(|| panic!("no command: {refused}"));
    inside(&Netns::current().expect("open"), &["sh", "-ec", remedy]);
    fwd.ok(&["port", "add", &two.name, "-p", "8009:80"]);
}

/// podman#26044: at two addresses of the host one port is two.
#[test]
fn one_port_at_two_addresses_leads_to_two_namespaces() {
    let fwd = Fwd::new();
    let first = fwd.uplink(0).address;
    let second = std::net::Ipv4Addr::from(u32::from(first) + 100);
    fwd.on_host(&["ip", "address", "add", &format!("{second}/24"), "dev", "eth0"]);
    for (role, address) in [("c1", first), ("c2", second)] {
        let pod = fwd.up(role, &["-p", &format!("{address}:5000:5000/udp")]);
        let server = echo_udp(udp(&pod, any(5000)), 1);
        asked(&udp(fwd.internet(0), at(fwd.uplink(0).outside[0], CLIENT)), at(address, 5000), role.as_bytes());
        server.join().expect("the server");
    }
}

/// moby#13024: what has a port is asked before it is published.
#[test]
fn port_of_a_program_of_the_host_is_refused_with_its_name() {
    let fwd = Fwd::new();
    let _tcp = listen(fwd.host(), at(fwd.uplink(0).address, 8080));
    let _udp = udp(fwd.host(), any(53));
    let name = fwd.name("c1");
    let pid = format!("(pid {})", std::process::id());
    fwd.expect_error(&["up", "--ns", &name, "-p", "8000-8100:1-101"], 4, &["8080/tcp", &pid, "stop it"]);
    fwd.expect_error(&["up", "--ns", &name, "-p", "53:53/udp"], 4, &["0.0.0.0:53/udp", &pid]);
    fwd.up("c1", &["-p", "8080:80/udp", "-p", "53:53"]);
}

#[test]
fn what_cannot_be_published_is_refused_with_the_remedy() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    let name = fwd.name("c2");
    for (ports, code, words) in [
        ("80", 2, ["--publish", "8080:80"]),
        ("80-90:80", 2, ["11 ports", "8080:80"]),
        ("192.0.2.99:80:80", 3, ["192.0.2.99", "ip -4 address"]),
        ("224.0.0.1:80:80", 2, ["224.0.0.1", "ip -4 address"]),
        ("10.77.0.1:80:80", 2, ["10.77.0.1", "network fwd0"]),
    ] {
        fwd.expect_error(&["up", "--ns", &name, "-p", ports], code, &words);
        fwd.expect_error(&["port", "add", &pod.name, "-p", ports], code, &words);
    }
    for (ports, words) in [("127.0.0.1:80:80", "for the host alone"), ("80-81:90-91", "no offset")] {
        let kernel = ["up", "--ns", &name, "--network", "db", "--datapath", "kernel", "-p", ports];
        fwd.expect_error(&kernel, 5, &[words, "--datapath tc"]);
    }
    let internal = ["up", "--ns", &name, "--network", "in", "--internal", "-p", "80:80"];
    fwd.expect_error(&internal, 5, &["80:80/tcp", "network in is internal", "for the host alone"]);
    fwd.expect_error(&["port", "add", &name, "-p", "80:80"], 3, &["not up", "bring it up"]);
    assert_eq!(fwd.list(&["port", "ls"]), [json!(null); 0]);
    let steps = fwd.ok(&["up", "--ns", &name, "-p", "8080:80", "--dry-run"]);
    assert!(steps.contains("publish 8080:80/tcp") && steps.contains("/maps/PUBLISHED key 8080:80/tcp"), "{steps}");
}

/// The programs take a packet before the host's firewall sees it, which is said.
#[test]
fn port_that_passes_a_firewall_by_is_published_with_a_warning() {
    let fwd = Fwd::new();
    let rules =
        "table inet firewall { chain in { type filter hook input priority 0; policy drop; tcp dport 22 accept; }; }";
    fwd.on_host(&["nft", rules]);
    let said = fwd.call(&["up", "--ns", &fwd.name("c1"), "-p", "8080:80"]);
    assert!(said.status.success() && said.stderr.contains("past the nftables chain inet firewall in"), "{said:?}");
    let said = fwd.call(&["port", "add", &fwd.name("c1"), "-p", "53:53/udp"]);
    assert!(said.status.success() && said.stderr.contains("past the nftables chain inet firewall in"), "{said:?}");
    let said = fwd.call(&["up", "--ns", &fwd.name("c2")]);
    assert!(!said.stderr.contains("firewall in"), "{said:?}");
}

/// Nobody takes down a namespace that was deleted: its ports are free for the next one.
#[test]
fn ports_of_a_namespace_that_is_gone_are_free_at_once() {
    let fwd = Fwd::new();
    let gone = fwd.up("c1", &["-p", "5000-5009:5000-5009/udp"]);
    let pod = fwd.up("c0", &[]);
    let client = udp(fwd.internet(0), at(fwd.uplink(0).outside[0], CLIENT));
    let server = echo_udp(udp(&gone, any(5003)), 1);
    asked(&client, at(fwd.uplink(0).address, 5003), b"hello");
    server.join().expect("the server");
    let name = gone.name.clone();
    drop(gone);
    fwd.on_host(&["ip", "netns", "delete", &name]);
    let is_gone = || Ok((fwd.list(&["port", "ls"]).first().is_some_and(|it| it["gone"] == true)).then_some(()));
    forwarder::testbed::wait_until(crate::peers::PATIENCE, "it is gone", is_gone).expect("it goes");
    fwd.ok(&["port", "add", &pod.name, "-p", "5003:5003/udp"]);
    let server = echo_udp(udp(&pod, any(5003)), 1);
    asked(&client, at(fwd.uplink(0).address, 5003), b"hello");
    server.join().expect("the server");
}

/// Limits, and what keeps neighbours apart, hold beside published ports.
#[test]
fn limited_namespace_apart_from_its_neighbours_is_reached_by_its_ports() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &["--no-icc", "--rate-in", "10M", "--rate-out", "10M", "-p", "8080:80"]);
    let neighbour = fwd.up("c2", &["-p", "127.0.0.1:8081:81"]);
    let own = fwd.uplink(0).address;
    let server = echo_tcp(listen(&pod, any(80)), 2);
    for (ns, from) in [(&**fwd.internet(0), at(fwd.uplink(0).outside[0], CLIENT)), (&*neighbour, ANY)] {
        let stream = connect(ns, from, at(own, 8080)).expect("it is published");
        // More than may come at once.
        echoed(&stream, &vec![7; 100_000]);
    }
    assert_eq!(server.join().expect("the server")[1].ip(), own);
    assert!(!answers(&neighbour, pod.address), "they do not reach each other otherwise");
    assert_eq!(fwd.counted("from_ns", "dropped", Some("RateExceeded")), 0, "the queue inside keeps to it");
}
