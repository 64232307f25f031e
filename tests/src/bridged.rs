//! An uplink that is a bridge itself: the network card is its port, and the address its own.

use std::net::{IpAddr, Ipv4Addr};

use forwarder::testbed::{Namespace, wait_until};

use crate::{
    capture::Recording,
    fwd::{Fwd, LIMIT, inside, pings},
    peers::{ANY, at, connect, echo_tcp, echoed, listen},
};

/// The hooks of an uplink.
const HOOKS: [&str; 2] = ["from_uplink", "to_uplink"];
/// Another machine at the bridge.
const GUEST: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 50);

/// Moves the host's address to a bridge with `eth0` and a guest as its ports.
///
/// The bridge has a hardware address of its own: those of a testbed look like what `fwd` gives its bridges.
fn bridge(fwd: &Fwd) -> Namespace {
    let (address, gateway) = (fwd.uplink(0).address, fwd.uplink(0).gateway);
    let guest = Namespace::create(&fwd.name("guest")).expect("a namespace");
    let script = format!(
        "ip address flush dev eth0
         ip link add br0 address 02:00:00:00:00:42 type bridge && ip link set eth0 master br0
         ip link add guest0 type veth peer name eth0 netns {}
         ip link set guest0 master br0 up && ip link set br0 up
         ip address add {address}/24 dev br0
         ip route replace default via {gateway} dev br0",
        guest.name()
    );
    fwd.on_host(&["sh", "-ec", &script]);
    inside(&guest, &["sh", "-ec", &format!("ip link set eth0 up && ip address add {GUEST}/24 dev eth0")]);
    guest
}

#[test]
fn bridge_serves_as_uplink_and_goes_on_bridging() {
    let fwd = Fwd::new();
    let guest = bridge(&fwd);
    let (outside, gateway) = (fwd.uplink(0).outside[0], fwd.uplink(0).gateway);
    let pod = fwd.up("c1", &[]);
    assert_eq!(pod.shown["uplink"], "br0");
    let recording = Recording::start(&fwd, fwd.internet(0), "inet0");
    assert!(pings(&pod, outside) && pings(&pod, gateway) && pings(&pod, GUEST), "the namespace reaches all");
    let clients = echo_tcp(listen(fwd.internet(0), at(outside, 9000)), 1);
    let stream = connect(&pod, ANY, at(outside, 9000)).expect("it connects");
    (0..20).for_each(|_| echoed(&stream, &[7; 20_000]));
    drop(stream);
    assert_eq!(clients.join().expect("the server")[0].ip(), IpAddr::from(fwd.uplink(0).address));
    assert!(fwd.counted("from_uplink", "forwarded", None) > 10, "the fast path was used");
    let closed = || Ok(fwd.list(&["flows"]).iter().any(|flow| flow["state"] == "closing").then_some(()));
    wait_until(LIMIT, "the connection's last segments have passed", closed).unwrap_or_else(|error| panic!("{error}"));
    // A namespace says something by itself now and then.
    let at_uplink = || {
        fwd.list(&["stats"]).into_iter().filter(|it| HOOKS.iter().any(|hook| it["hook"] == *hook)).collect::<Vec<_>>()
    };
    let before = at_uplink();
    assert!(pings(&guest, gateway) && pings(fwd.internet(0), GUEST), "what is bridged is left alone");
    assert_eq!(at_uplink(), before, "and not counted");
    let inside = |address: Ipv4Addr| address.octets()[..2] == [10, 77];
    let leaked: Vec<_> = recording.all().into_iter().filter(|it| it.addresses().into_iter().any(inside)).collect();
    assert!(leaked.is_empty(), "{leaked:#?}");
    fwd.down("c1");
    assert!(pings(&guest, gateway) && pings(fwd.host(), gateway), "as before");
}
