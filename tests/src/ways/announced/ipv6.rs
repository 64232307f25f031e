//! `--announce` of addresses of IPv6: the host speaks for them on the link of its uplink, and keeps what comes for them from itself.

use std::{
    io::ErrorKind,
    net::{IpAddr, Ipv6Addr},
};

use forwarder::testbed::wait_until;
use serde_json::json;

use super::{CONFLICT, UNSUPPORTED, USAGE, knows, lies_about};
use crate::{
    fwd::{Fwd, LIMIT, answers6},
    ipv6::{at, host_with, link, seen_from},
    peers::{connect, echo_tcp, echoed, listen, udp},
};

/// An address on the link of `eth0` that nobody has.
fn free(fwd: &Fwd, number: u128) -> Ipv6Addr {
    Ipv6Addr::from_bits(link(fwd, 0).address.to_bits() + number)
}

fn spoken_for(fwd: &Fwd) -> String {
    fwd.on_host(&["ip", "-6", "neigh", "show", "proxy"])
}

#[test]
fn announced_addresses_of_ipv6_lead_to_their_namespace_and_never_to_the_host() {
    let any = |port| at(Ipv6Addr::UNSPECIFIED, port);
    let fwd = host_with(1);
    let [first, last] = [5, 6].map(|number| free(&fwd, number));
    let (range, outside) = (format!("{first}-{last}"), link(&fwd, 0).outside);
    for address in [first, last] {
        lies_about(fwd.internet(0), address.into());
    }
    let published = format!("[{first}]:8080:80");
    let options = ["--source6", &range, "--announce", "-p", &published];
    let pod = fwd.up("c1", &options);
    assert_eq!((&pod.shown["source6"], &pod.shown["announced6"]), (&json!(range), &json!(true)));
    assert!(fwd.ok(&["inspect", &pod.name]).contains(&format!("{range} (--source6, --announce)")));
    assert_eq!(fwd.up("c1", &options).shown["changed"], false, "it has what it asks for");
    assert!(fwd.ok(&["export"]).contains("announce = true"));
    // Who knew them elsewhere knows better without having asked.
    for address in [first, last] {
        knows(&fwd, address.into(), "eth0");
    }
    let seen = seen_from(&pod, fwd.internet(0), at(outside, 7000));
    assert!(seen.iter().all(|seen| [first, last].map(IpAddr::from).contains(seen)), "{seen:?}");
    let served = echo_tcp(listen(&pod, any(80)), 1);
    echoed(&connect(fwd.internet(0), any(0), at(first, 8080)).expect("it is published"), b"published");
    served.join().expect("the server");

    // What listens on the host at all of its addresses has none of these.
    let heard = udp(fwd.host(), any(9000));
    let dropped = || {
        udp(fwd.internet(0), any(0)).send_to(b"who is there?", at(last, 9000)).expect("it is sent");
        Ok((fwd.counted("from_uplink", "dropped", Some("Announced")) > 3).then_some(()))
    };
    wait_until(LIMIT, "it is counted", dropped).unwrap_or_else(|error| panic!("{error}"));
    assert!(!answers6(fwd.internet(0), first));
    heard.set_nonblocking(true).expect("a socket");
    assert_eq!(heard.recv(&mut [0; 64]).expect_err("nobody wrote").kind(), ErrorKind::WouldBlock);

    // Two may share one; it goes with the last of them.
    let other = fwd.up("c2", &["--source6", &last.to_string(), "--announce"]);
    fwd.down("c1");
    assert!(spoken_for(&fwd).contains(&last.to_string()) && !spoken_for(&fwd).contains(&first.to_string()));
    assert_eq!(seen_from(&other, fwd.internet(0), at(outside, 7000)), [IpAddr::from(last); 2]);
    fwd.down("c2");
    assert_eq!(spoken_for(&fwd), "");
}

#[test]
fn address_of_ipv6_that_cannot_be_announced_is_refused_before_anything_is_made() {
    let fwd = host_with(1);
    let ns = fwd.name("c1");
    let (own, gateway) = (link(&fwd, 0).address, link(&fwd, 0).gateway);
    let up = |source: Ipv6Addr, options: &[&str], code, words: &[&str]| {
        let source = source.to_string();
        fwd.expect_error(&[&["up", "--ns", &ns, "--announce", "--source6", &source], options].concat(), code, words);
        assert_eq!(fwd.list(&["ls"]), [json!(null); 0]);
    };
    up(gateway, &[], CONFLICT, &[&gateway.to_string(), "eth0", "has it"]);
    up(own, &[], CONFLICT, &["the host has it"]);
    up("2001:db8:1234::1".parse().expect("an address"), &[], USAGE, &["eth0", "link"]);
    up(free(&fwd, 5), &["--datapath", "kernel"], UNSUPPORTED, &["--datapath"]);
    assert_eq!(spoken_for(&fwd), "");
}
