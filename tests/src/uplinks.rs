//! Uplinks that are renamed or made anew, and interfaces and namespaces that have the numbers of others: what is recorded is told from
//! what merely looks like it.

use std::{io::ErrorKind, net::Ipv4Addr};

use forwarder::{
    dataplane::{Dataplane, RunDir},
    netlink::Netlink,
    netns::{Name, Netns},
    testbed::{Namespace, TestbedSpec, wait_until},
};
use serde_json::{Value, json};

use crate::{
    commands::{assert_as_before, assert_reaches_outside, snapshot},
    fwd::{Fwd, LIMIT, Pod, answers, inside, number, pings, try_inside},
    ownership::forwards,
    peers::{ANY, any, at, udp},
};

/// `ip ARGS…` on the host.
pub(crate) fn ip(fwd: &Fwd, args: &str) {
    fwd.on_host(&[&["ip"], &args.split(' ').collect::<Vec<_>>()[..]].concat());
}

/// Deletes the uplink and makes it anew, as PPP does when it dials again.
pub(crate) fn make_anew(fwd: &Fwd) {
    ip(fwd, "link del eth0");
    let internet = fwd.internet(0);
    let name = internet.name();
    ip(fwd, &format!("link add eth0 type veth peer name inet0 netns {name}"));
    let (address, gateway) = (fwd.uplink(0).address, fwd.uplink(0).gateway);
    inside(internet, &["ip", "addr", "add", &format!("{gateway}/24"), "dev", "inet0"]);
    inside(internet, &["ip", "link", "set", "inet0", "up"]);
    ip(fwd, "link set eth0 up");
    ip(fwd, &format!("addr add {address}/24 dev eth0"));
    ip(fwd, &format!("route replace default via {gateway} dev eth0"));
    wait_until(LIMIT, "the host reaches the outside", || {
        Ok(answers(fwd.host(), fwd.uplink(0).outside[0]).then_some(()))
    })
    .unwrap_or_else(|error| panic!("{error}"));
}

/// It may take a moment until what is older than a second is looked up again.
#[track_caller]
pub(crate) fn await_way_out(fwd: &Fwd, pod: &Pod) {
    wait_until(LIMIT, "there is a way out", || Ok(answers(pod, fwd.uplink(0).outside[0]).then_some(())))
        .unwrap_or_else(|error| panic!("{}: {error}", pod.name));
}

fn listed(fwd: &Fwd, pod: &Pod) -> Value {
    let found = fwd.list(&["ls"]).into_iter().find(|it| it["ns"] == pod.name.as_str());
    found.unwrap_or_else(|| panic!("{} is not listed", pod.name))
}

const DATAPATHS: [&[&str]; 3] = [&["--datapath", "tc"], &["--datapath", "kernel"], &["--datapath", "xdp"]];

#[test]
fn uplink_that_is_made_anew_is_taken_by_the_next_command() {
    for options in DATAPATHS {
        let fwd = Fwd::new();
        let (first, second) = (fwd.up("c1", options), fwd.up("c2", options));
        assert_reaches_outside(&fwd, &first);
        ip(&fwd, "link del eth0");
        assert_eq!(
            (&listed(&fwd, &first)["uplink_state"], &listed(&fwd, &first)["uplink_now"]),
            (&json!("gone"), &json!(null))
        );
        assert!(fwd.ok(&["ls"]).contains("eth0 (gone)") && fwd.ok(&["inspect", &first.name]).contains("eth0 (gone)"));
        fwd.expect_error(&["up", "--ns", &first.name], 4, &["eth0 is gone", "--uplink"]);
        // Its other end went with it.
        make_anew_from_nothing(&fwd);
        assert_eq!(listed(&fwd, &first)["uplink_state"], "gone", "it is another interface");
        let by = if options.contains(&"xdp") { &["down", &second.name][..] } else { &["up", "--ns", &first.name] };
        fwd.ok(by);
        assert_eq!(listed(&fwd, &first)["uplink_state"], "up");
        await_way_out(&fwd, &first);
        assert_eq!(fwd.up("c1", &[]).shown["changed"], false);
        fwd.ok(&["down", "--all"]);
        assert_eq!(forwards(&fwd), "0");
        assert_eq!(fwd.list(&["ls"]), [Value::Null; 0]);
    }
}

/// As [`make_anew`], where it is gone already.
fn make_anew_from_nothing(fwd: &Fwd) {
    ip(fwd, "link add eth0 type bridge");
    make_anew(fwd);
}

#[test]
fn nothing_leaves_untranslated_while_an_uplink_comes_anew() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    assert_reaches_outside(&fwd, &pod);
    make_anew(&fwd);
    let outside = fwd.uplink(0).outside[0].to_string();
    let seen = || inside(fwd.internet(0), &["sh", "-c", "ip -4 neigh; ip -s link show inet0"]);
    let before = seen();
    // The kernel would forward them, if it did not look who guards the way out.
    try_inside(&pod, &["ping", "-n", "-q", "-c", "3", "-i", "0.1", "-W", "1", &outside]);
    assert!(!seen().contains(&pod.address.to_string()), "{before} then {}", seen());
    fwd.up("c1", &[]);
    await_way_out(&fwd, &pod);
}

#[test]
fn renamed_uplink_goes_on_and_gets_its_forwarding_back_under_its_new_name() {
    for options in DATAPATHS {
        let fwd = Fwd::new();
        let pod = fwd.up("c1", options);
        assert_eq!(forwards(&fwd), "1");
        ip(&fwd, "link set eth0 down");
        ip(&fwd, "link set eth0 name wan0");
        ip(&fwd, "link set wan0 up");
        ip(&fwd, &format!("route replace default via {} dev wan0", fwd.uplink(0).gateway));
        let shown = listed(&fwd, &pod);
        assert_eq!((&shown["uplink"], &shown["uplink_now"]), (&json!("eth0"), &json!("wan0")));
        assert!(fwd.ok(&["ls"]).contains("wan0 (was eth0)"));
        let warned = fwd.call(&["up", "--ns", &pod.name]);
        assert!(warned.status.success() && warned.stderr.contains("eth0 is called wan0"), "{}", warned.stderr);
        await_way_out(&fwd, &pod);
        assert_eq!(listed(&fwd, &pod)["uplink"], "wan0");
        let forwards = || fwd.on_host(&["sysctl", "-n", "net.ipv4.conf.wan0.forwarding"]).trim().to_owned();
        assert_eq!(forwards(), "1");
        fwd.ok(&["down", "--all"]);
        assert_eq!(forwards(), "0");
        ip(&fwd, "link set wan0 down");
        ip(&fwd, "link set wan0 name eth0");
        // Without a command in between.
        ip(&fwd, "link set eth0 up");
        ip(&fwd, &format!("route replace default via {} dev eth0", fwd.uplink(0).gateway));
        fwd.up("c1", options);
        ip(&fwd, "link set eth0 down");
        ip(&fwd, "link set eth0 name wan0");
        fwd.ok(&["down", "--all"]);
        assert_eq!(forwards(), "0");
    }
}

#[test]
fn network_takes_another_uplink_where_its_own_is_gone() {
    let fwd = Fwd::with(&TestbedSpec { uplinks: 2, ..TestbedSpec::default() });
    let pod = fwd.up("c1", &[]);
    ip(&fwd, "link del eth0");
    let other = fwd.uplink(1);
    ip(&fwd, &format!("route replace default via {} dev eth1", other.gateway));
    let moved = fwd.up("c1", &["--uplink", "eth1"]);
    assert_eq!(moved.shown["uplink"], "eth1");
    wait_until(LIMIT, "there is a way out", || Ok(answers(&pod, other.outside[0]).then_some(())))
        .unwrap_or_else(|error| panic!("{error}"));
    fwd.ok(&["down", "--all"]);
    assert_eq!(fwd.on_host(&["sysctl", "-n", "net.ipv4.conf.eth1.forwarding"]).trim(), "0");
}

#[test]
fn changed_address_of_the_uplink_is_shown_beside_the_recorded_one() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    let address = fwd.uplink(0).address;
    ip(&fwd, &format!("addr del {address}/24 dev eth0"));
    let other = Ipv4Addr::from_bits(address.to_bits() + 5);
    ip(&fwd, &format!("addr add {other}/24 dev eth0"));
    let shown = fwd.json(&["inspect", &pod.name]);
    assert_eq!(shown["uplink_address"], address.to_string());
    assert_eq!(shown["uplink_address_now"], other.to_string());
    assert!(fwd.ok(&["inspect", &pod.name]).contains(&format!("{address} (now {other})")));
}

#[test]
fn interface_that_has_the_number_of_a_host_veth_is_not_taken_for_it() {
    let fwd = Fwd::new();
    let before = snapshot(&fwd);
    let pod = fwd.up("c1", &[]);
    fwd.up("c2", &[]);
    let index = number(&fwd.json(&["inspect", &pod.name])["host_ifindex"]).to_string();
    ip(&fwd, &format!("link del {}", pod.host_if));
    // Of the same number, and even of the same name.
    ip(&fwd, &format!("link add {} index {index} type veth peer name stranger", pod.host_if));
    let shown = fwd.json(&["inspect", "--if", &pod.host_if]);
    assert_eq!((number(&shown["ifindex"]).to_string(), &shown["endpoint"]), (index, &Value::Null));
    assert_eq!(listed(&fwd, &pod)["gone"], true);
    assert!(fwd.json(&["inspect", "--if", "fwd0"])["ports"].as_array().is_some_and(|ports| ports.len() == 1));
    // A command about another namespace, and one about this.
    fwd.up("c2", &[]);
    fwd.down("c1");
    assert!(fwd.on_host(&["ip", "link", "show", &pod.host_if]).contains("stranger"), "a foreign interface was deleted");
    ip(&fwd, &format!("link del {}", pod.host_if));
    fwd.ok(&["down", "--all"]);
    assert_as_before(&fwd, &before);
}

/// Replaces the host-side veth of `pod` by a foreign interface with its number, whose other end has the address of the endpoint, and its
/// hardware address. Returns the namespace of that end.
#[track_caller]
fn impersonated(fwd: &Fwd, pod: &Pod) -> Namespace {
    let stranger = Namespace::create(&fwd.name("stranger")).expect("a namespace");
    let link: Value = serde_json::from_str(&inside(pod, &["ip", "-j", "link", "show", "eth0"])).expect("JSON");
    let mac = link[0]["address"].as_str().expect("an address").to_owned();
    let index = number(&fwd.json(&["inspect", &pod.name])["host_ifindex"]);
    ip(fwd, &format!("link del {}", pod.host_if));
    let name = stranger.name();
    ip(fwd, &format!("link add foreign index {index} type veth peer name eth0 address {mac} netns {name}"));
    ip(fwd, "link set foreign up");
    inside(&stranger, &["ip", "addr", "add", &format!("{}/24", pod.address), "dev", "eth0"]);
    inside(&stranger, &["ip", "link", "set", "eth0", "up"]);
    stranger
}

#[test]
fn nothing_of_an_endpoint_reaches_an_interface_that_has_its_number() {
    // The kernel's own data path goes by the ports of its bridge.
    for options in DATAPATHS.into_iter().filter(|options| options[1] != "kernel") {
        let fwd = Fwd::new();
        let (pod, neighbour) = (fwd.up("c1", options), fwd.up("c2", options));
        let (server, inside_socket) = (udp(fwd.internet(0), at(fwd.uplink(0).outside[0], 7000)), any(5000));
        let client = udp(&pod, inside_socket);
        let mut nat = None;
        for _ in 0..8 {
            let mut buffer = [0; 8];
            client.send_to(b"question", server.local_addr().expect("a socket")).expect("it leaves");
            let (_, from) = server.recv_from(&mut buffer).expect("it arrives");
            server.send_to(b"answer", from).expect("it leaves");
            client.recv_from(&mut buffer).expect("it arrives");
            nat = Some(from);
        }
        assert!(pings(&neighbour, pod.address));
        let stranger = impersonated(&fwd, &pod);
        let overheard = udp(&stranger, inside_socket);
        let ended = || Ok(fwd.list(&["flows", &pod.name]).is_empty().then_some(()));
        wait_until(LIMIT, "the flows have ended", ended).unwrap_or_else(|error| panic!("{options:?}: {error}"));
        // The host answers what is nobody's.
        server.connect(nat.expect("a question came")).expect("a socket");
        let refused = || {
            server.send(b"secret").ok();
            let error = server.recv(&mut [0; 8]).err().map(|error| error.kind());
            Ok((error == Some(ErrorKind::ConnectionRefused)).then_some(()))
        };
        wait_until(LIMIT, "the host refuses", refused).unwrap_or_else(|error| panic!("{options:?}: {error}"));
        let near = udp(&neighbour, ANY);
        for _ in 0..5 {
            near.send_to(b"secret", at(pod.address, inside_socket.port())).expect("it leaves");
        }
        assert!(!answers(&neighbour, pod.address), "{options:?}: a stranger answers");
        overheard.set_nonblocking(true).expect("a socket");
        let heard = overheard.recv_from(&mut [0; 8]);
        assert!(heard.is_err(), "{options:?}: a stranger got {heard:?}");
        ip(&fwd, "link del foreign");
        fwd.ok(&["down", "--all"]);
    }
}

/// How often a number is asked for that may not be free yet.
const TRIES: usize = 100;

#[test]
fn namespace_that_has_the_inode_of_a_former_one_is_not_taken_for_it() {
    let fwd = Fwd::new();
    let other = Name::try_from(fwd.name("other").as_str()).expect("a name");
    let mut former = 0;
    // The kernel gives the lowest free number: that of the one that has just gone, once it is gone. If nobody else gets it: then there has to be
    // another one that has gone.
    let same = || {
        former += 1;
        let pod = fwd.up(&format!("c{former}"), &[]);
        let (inode, name) = (pod.inode()?, Name::try_from(pod.name.as_str())?);
        drop(pod);
        Netns::delete_named(&name)?;
        for _ in 0..TRIES {
            let ns = Netns::create_named(&other, |_| Ok(()))?;
            if ns.inode()? == inode {
                return Ok(Some((ns, inode)));
            }
            drop(ns);
            Netns::delete_named(&other)?;
        }
        Ok(None)
    };
    let found = wait_until(LIMIT, "a namespace has the same inode", same);
    let (ns, inode) = found.unwrap_or_else(|error| panic!("{error}"));
    inside(&ns, &["ip", "link", "add", "eth0", "type", "bridge"]);
    let shown = fwd.json(&["inspect", "--ns", other.as_str(), "--if", "eth0"]);
    assert_eq!((number(&shown["netns_inode"]), &shown["endpoint"]), (inode, &Value::Null));
    // The kernel takes namespaces apart when it has time.
    let all_gone = || Ok(fwd.list(&["ls"]).iter().all(|it| it["gone"] == true).then_some(()));
    wait_until(LIMIT, "all namespaces are gone", all_gone).unwrap_or_else(|error| panic!("{error}"));
    assert!(fwd.list(&["ls"]).iter().all(|it| it["ns"] != other.as_str()));
    fwd.ok(&["down", "--all"]);
    assert!(inside(&ns, &["ip", "link"]).contains("eth0"), "a foreign namespace was touched");
}

/// As a command leaves it that dies while it leads a network through another uplink: one of two endpoints follows already.
#[test]
fn network_that_was_led_half_way_is_led_on() {
    let fwd = Fwd::new();
    let pods = [fwd.up("c1", &[]), fwd.up("c2", &[])];
    make_anew(&fwd);
    fwd.host()
        .run(|| {
            let plane = Dataplane::open(&RunDir::new(fwd.pins()), Netns::current()?.cookie()?)?.expect("it is up");
            let anew = Netlink::here()?.link("eth0")?.expect("it is there").index;
            let (index, mut endpoint) = plane.endpoints()?[0];
            endpoint.uplink = anew;
            plane.put_endpoint(index, &endpoint)
        })
        .expect("its record");
    fwd.up("c3", &[]);
    pods.iter().for_each(|pod| await_way_out(&fwd, pod));
}
