//! `--announce`: an endpoint appears behind an address that the host does not have, and for which it answers at the uplink.

use std::{
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr},
};

use forwarder::{netns::Netns, testbed::wait_until};
use forwarder_common::wire::{emit::Ethernet, ethernet::ethertype};
use serde_json::json;

mod ipv6;

use super::{host, source::seen_from};
use crate::{
    fwd::{Fwd, LIMIT, answers, inside, pings, try_inside},
    peers::{ANY, any, at, connect, echo_tcp, echoed, knock, listen, udp},
    raw,
    uplinks::ip,
};

const USAGE: i32 = 2;
const NOT_FOUND: i32 = 3;
const CONFLICT: i32 = 4;
const UNSUPPORTED: i32 = 5;

/// An address on the link of an uplink that nobody has.
fn free(fwd: &Fwd, uplink: usize) -> Ipv4Addr {
    Ipv4Addr::from_bits(fwd.uplink(uplink).address.to_bits() + 5)
}

/// A hardware address that nobody has.
const ELSEWHERE: &str = "02:00:00:00:00:99";

/// A neighbour of the host takes an address for somebody else's, who has had it until now.
fn lies_about(internet: &Netns, address: IpAddr) {
    inside(
        internet,
        &["ip", "neigh", "replace", &address.to_string(), "lladdr", ELSEWHERE, "nud", "reachable", "dev", "inet0"],
    );
}

/// The neighbour takes it for that of an interface of the host, without having asked.
#[track_caller]
fn knows(fwd: &Fwd, address: IpAddr, ifname: &str) {
    let link = fwd.on_host(&["ip", "-br", "link", "show", "dev", ifname]);
    let mac = link.split_whitespace().find(|word| word.len() == 17 && word.matches(':').count() == 5).expect("a MAC");
    let shown = || inside(fwd.internet(0), &["ip", "neigh", "show", "to", &address.to_string()]);
    let told = wait_until(LIMIT, "it is told", || Ok(shown().contains(mac).then_some(())));
    told.unwrap_or_else(|error| panic!("{error}: {}", shown()));
}

/// Whether somebody answers on the link of `eth0` who is asked for this address by ARP.
fn is_answered(fwd: &Fwd, address: Ipv4Addr) -> bool {
    let internet = fwd.internet(0);
    inside(internet, &["ip", "neigh", "flush", "to", &address.to_string()]);
    // The answer to the question, whatever comes of the packet.
    try_inside(internet, &["ping", "-n", "-q", "-c", "1", "-W", "1", &address.to_string()]);
    inside(internet, &["ip", "neigh", "show", "to", &address.to_string()]).contains("lladdr")
}

#[test]
fn announced_address_leads_to_its_namespace_and_never_to_the_host() {
    for datapath in ["tc", "xdp"] {
        let fwd = host();
        let source = free(&fwd, 0);
        let options =
            ["--datapath", datapath, "--source", &source.to_string(), "--announce", "-p", &format!("{source}:8080:80")];
        lies_about(fwd.internet(0), source.into());
        let pod = fwd.up("c1", &options);
        // Who knew it elsewhere knows better without having asked.
        knows(&fwd, source.into(), "eth0");
        assert_eq!((&pod.shown["source"], &pod.shown["announced"]), (&json!(source.to_string()), &json!(true)));
        assert!(fwd.ok(&["inspect", &pod.name]).contains(&format!("{source} (--source, --announce)")));
        assert_eq!(fwd.up("c1", &options).shown["changed"], false, "it has what it asks for");
        assert!(!fwd.on_host(&["ip", "-br", "address"]).contains(&source.to_string()));

        assert_eq!(seen_from(&fwd, &pod), [source; 2]);
        // For longer than a route is taken for fresh.
        let server = listen(fwd.internet(0), at(fwd.uplink(0).gateway, 7100));
        let clients = echo_tcp(server, 1);
        let stream = connect(&pod, ANY, at(fwd.uplink(0).gateway, 7100)).expect("it connects");
        let until = std::time::Instant::now() + std::time::Duration::from_secs(3);
        while std::time::Instant::now() < until {
            echoed(&stream, b"still the same");
        }
        drop(stream);
        assert_eq!(clients.join().expect("the server")[0].ip(), source);
        let served = echo_tcp(listen(&pod, any(80)), 1);
        echoed(&connect(fwd.internet(0), ANY, at(source, 8080)).expect("it is published"), b"published");
        served.join().expect("the server");

        // What listens on the host at all of its addresses has not this one.
        let own = [listen(fwd.host(), any(22)), listen(fwd.host(), any(9000))];
        let heard = udp(fwd.host(), any(9000));
        let dropped = || {
            for port in [22, 9000] {
                fwd.internet(0).run(|| Ok(knock(ANY, at(source, port)))).expect("it is sent");
            }
            udp(fwd.internet(0), ANY).send_to(b"who is there?", at(source, 9000)).expect("it is sent");
            Ok((fwd.counted("from_uplink", "dropped", Some("Announced")) > 3).then_some(()))
        };
        wait_until(LIMIT, "it is counted", dropped).unwrap_or_else(|error| panic!("{error}"));
        assert!(!answers(fwd.internet(0), source));
        for listener in own {
            listener.set_nonblocking(true).expect("a socket");
            assert_eq!(listener.accept().expect_err("nobody came").kind(), ErrorKind::WouldBlock);
        }
        heard.set_nonblocking(true).expect("a socket");
        assert_eq!(heard.recv(&mut [0; 64]).expect_err("nobody wrote").kind(), ErrorKind::WouldBlock);

        assert!(is_answered(&fwd, source));
        assert!(!is_answered(&fwd, Ipv4Addr::from_bits(source.to_bits() + 1)), "for nothing else");
        fwd.down("c1");
        assert!(!is_answered(&fwd, source), "nobody has it any more");
    }
}

#[test]
fn all_addresses_of_an_announced_range_lead_to_those_who_appear_behind_it() {
    let fwd = host();
    let [first, last] = [0, 1].map(|number| Ipv4Addr::from_bits(free(&fwd, 0).to_bits() + number));
    let range = format!("{first}-{last}");
    let published = format!("{last}:8080:80");
    let pod = fwd.up("c1", &["--source", &range, "--announce", "-p", &published, "-p", "8081:81"]);
    assert!(seen_from(&fwd, &pod).iter().all(|seen| [first, last].contains(seen)));
    for (port, own) in [(8080, 80), (8081, 81)] {
        let served = echo_tcp(listen(&pod, any(own)), 1);
        echoed(&connect(fwd.internet(0), ANY, at(last, port)).expect("it is published"), b"published");
        served.join().expect("the server");
    }
    assert!(is_answered(&fwd, first) && is_answered(&fwd, last));
    let beside = format!("{last}-{}", Ipv4Addr::from_bits(last.to_bits() + 1));
    fwd.up("c2", &["--source", &beside, "--announce"]);
    fwd.down("c1");
    assert!(!is_answered(&fwd, first) && is_answered(&fwd, last), "the other one has it, too");
}

#[test]
fn link_is_told_of_an_address_only_once_all_stands() {
    let fwd = host();
    let (source, ns) = (free(&fwd, 0), fwd.name("c1"));
    lies_about(fwd.internet(0), source.into());
    let up = ["up", "--ns", &ns, "--source", &source.to_string(), "--announce"];
    fwd.ok(&["ns", "add", &ns]);
    // Whoever is root inside is quicker than the next operation.
    let (operation, meddle) = (format!("set up eth0 in namespace {ns}"), format!("ip -n {ns} link del eth0"));
    let failed = fwd.observed(&["meanwhile", &operation, &meddle], &up);
    assert!(!failed.status.success() && !is_answered(&fwd, Ipv4Addr::from_bits(source.to_bits() + 1)), "{failed:?}");
    let shown = inside(fwd.internet(0), &["ip", "neigh", "show", "to", &source.to_string()]);
    assert!(shown.contains(ELSEWHERE), "{shown}");
    fwd.ok(&up);
    knows(&fwd, source.into(), "eth0");
}

/// Two namespaces may share it; it goes with the last of them.
#[test]
fn announced_address_stays_for_as_long_as_somebody_appears_behind_it() {
    let fwd = host();
    let source = free(&fwd, 0);
    let options = ["--source", &source.to_string(), "--announce"];
    let pods = [fwd.up("c1", &options), fwd.up("c2", &options)];
    let by_another = format!("{source}:80:80");
    fwd.up("c4", &[]);
    fwd.expect_error(&["port", "add", &fwd.name("c4"), "-p", &by_another], NOT_FOUND, &[&source.to_string()]);
    fwd.ok(&["port", "add", &pods[1].name, "-p", &by_another]);
    let served = echo_tcp(listen(&pods[1], any(80)), 1);
    echoed(&connect(fwd.internet(0), ANY, at(source, 80)).expect("it is published"), b"published");
    served.join().expect("the server");
    // What files say is the same.
    let exported = fwd.ok(&["export"]);
    assert_eq!(exported.matches("announce = true").count(), 2, "{exported}");
    fwd.down("c1");
    assert_eq!(seen_from(&fwd, &pods[1]), [source; 2]);
    // Another hardware address is told by the next command.
    ip(&fwd, "link set eth0 down");
    ip(&fwd, "link set eth0 address 02:00:00:00:77:01");
    ip(&fwd, "link set eth0 up");
    ip(&fwd, &format!("route replace default via {}", fwd.uplink(0).gateway));
    lies_about(fwd.internet(0), source.into());
    fwd.up("c3", &[]);
    knows(&fwd, source.into(), "eth0");
    assert!(is_answered(&fwd, source));
    let shown = inside(fwd.internet(0), &["ip", "neigh", "show", "to", &source.to_string()]);
    assert!(shown.contains("02:00:00:00:77:01"), "{shown}");
    assert_eq!(seen_from(&fwd, &pods[1]), [source; 2]);
}

#[test]
fn address_that_cannot_be_announced_is_refused_before_anything_is_made() {
    let fwd = host();
    let ns = fwd.name("c1");
    let (source, own, gateway) = (free(&fwd, 0), fwd.uplink(0).address, fwd.uplink(0).gateway);
    let [other, broadcast] = [free(&fwd, 1), Ipv4Addr::from_bits(own.to_bits() | 255)];
    let up = |source: Ipv4Addr, options: &[&str], code, words: &[&str]| {
        let source = source.to_string();
        fwd.expect_error(&[&["up", "--ns", &ns, "--announce", "--source", &source], options].concat(), code, words);
        assert_eq!(fwd.list(&["ls"]), [json!(null); 0]);
    };
    fwd.expect_error(&["up", "--ns", &ns, "--announce"], USAGE, &["--source"]);
    up(gateway, &[], CONFLICT, &[&gateway.to_string(), "eth0", "has it"]);
    up(own, &[], CONFLICT, &["the host has it"]);
    up(other, &[], USAGE, &["eth0", "link"]);
    up(broadcast, &[], USAGE, &["no host"]);
    up([127, 0, 0, 1].into(), &[], USAGE, &["no address of a host"]);
    up(source, &["--datapath", "kernel"], UNSUPPORTED, &["--datapath"]);
    fwd.up("c1", &["--source", &source.to_string(), "--announce"]);
    let again = ["up", "--ns", &ns, "--source", &source.to_string(), "--announce"];
    assert_eq!(fwd.json(&again)["changed"], false, "who answers there by now is the host");
    let plain = ["up", "--ns", &fwd.name("c2"), "--source", &source.to_string()];
    fwd.expect_error(&plain, NOT_FOUND, &["no address", "--announce"]);
}

#[test]
fn announced_address_is_no_address_of_the_host_for_others() {
    let fwd = host();
    let source = free(&fwd, 0);
    let pod = fwd.up("c1", &["--source", &source.to_string(), "--announce", "-p", "8081:81"]);
    let other = fwd.up("c2", &["-p", "8080:80"]);
    let (own, others) = (echo_tcp(listen(&pod, any(81)), 1), echo_tcp(listen(&other, any(80)), 1));
    let dropped = || fwd.counted("from_uplink", "dropped", Some("Announced"));
    let counts = |count| wait_until(LIMIT, "it is counted", || Ok((dropped() == count).then_some(())));
    assert!(fwd.internet(0).run(|| Ok(knock(ANY, at(source, 8080)))).expect("it is sent"));
    counts(1).expect("another's port");
    echoed(&connect(fwd.internet(0), ANY, at(fwd.uplink(0).address, 8080)).expect("it is published"), b"published");
    echoed(&connect(fwd.internet(0), ANY, at(source, 8081)).expect("it is published"), b"published");
    for server in [own, others] {
        server.join().expect("the server");
    }

    // A tag with number 0 brings nobody past, wherever it stands.
    let (to, from) = (raw::mac_of(fwd.host(), "eth0"), raw::mac_of(fwd.internet(0), "inet0"));
    let packet = raw::udp(at(fwd.uplink(0).gateway, 4000), at(source, 9000), b"tagged");
    let once = Ethernet::new(to, from).tagged(ethertype::VLAN, 0);
    let twice = Ethernet::new(to, from).tagged(ethertype::VLAN, 0).tagged(ethertype::VLAN, 0);
    raw::send(fwd.internet(0), "inet0", &[packet.in_frame(&once), packet.in_frame(&twice)]);
    counts(3).expect("both are dropped");
}

/// By DHCP, say: then others mean the host by it.
#[test]
fn announced_address_that_the_host_gets_is_the_hosts_and_that_is_told() {
    let fwd = host();
    let source = free(&fwd, 0);
    // Somebody had it, long ago.
    ip(&fwd, &format!("neigh add {source} lladdr 02:00:00:00:00:99 nud stale dev eth0"));
    let pod = fwd.up("c1", &["--source", &source.to_string(), "--announce"]);
    assert!(!answers(fwd.internet(0), source));
    ip(&fwd, &format!("addr add {source}/24 dev eth0"));
    assert!(pings(fwd.internet(0), source), "the host has it");
    assert_eq!(seen_from(&fwd, &pod), [source; 2]);
    let told = format!("({source}): take them away (`ip addr del {source}/");
    assert!(fwd.ok(&["inspect", &pod.name]).contains(&told));
    let doctor = fwd.call(&["doctor"]);
    assert!(!doctor.status.success() && doctor.stdout.contains(&told), "{doctor:?}");
    ip(&fwd, &format!("addr del {source}/24 dev eth0"));
    assert!(!answers(fwd.internet(0), source), "the host has it no more");
    assert_eq!(seen_from(&fwd, &pod), [source; 2]);
}
