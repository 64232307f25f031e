//! Endpoint-independent mapping and filtering of IPv6 (`--nat eim`, `--nat eim-eif`; RFC 4787 REQ-1, REQ-8).

use std::net::{Ipv6Addr, SocketAddr};

use super::{at, flows::asked, host_with, link};
use crate::peers::{assert_refused, udp};

#[test]
fn socket_has_one_port_for_all_destinations_and_lets_in_whom_its_network_wants() {
    let fwd = host_with(1);
    let six = link(&fwd, 0);
    let servers = [six.outside, six.gateway].map(|address| udp(fwd.internet(0), at(address, 7000)));
    let stranger = udp(fwd.internet(0), at(six.outside, 7001));
    for (role, network, mode) in [("c1", "mapped", "eim"), ("c2", "open", "eim-eif")] {
        let pod = fwd.up(role, &["--network", network, "--nat", mode]);
        let client = udp(&pod, at(Ipv6Addr::UNSPECIFIED, 5000));
        let seen: Vec<SocketAddr> = servers.iter().map(|server| asked(&client, server)).collect();
        assert_eq!(seen[0], seen[1], "{mode}: one external socket");
        assert_eq!(seen[0].ip(), six.address);
        let mut buffer = [0; 16];
        if mode == "eim" {
            let stranger = udp(fwd.internet(0), at(six.outside, 7002));
            stranger.connect(seen[0]).expect("a socket");
            assert_refused(&stranger);
            continue;
        }
        stranger.send_to(b"anybody there?", seen[0]).expect("it leaves");
        let (_, from) = client.recv_from(&mut buffer).expect("it is let in");
        assert_eq!(from, at(six.outside, 7001), "the stranger's own address");
        client.send_to(b"yes", from).expect("it leaves");
        assert_eq!(stranger.recv_from(&mut buffer).expect("it is answered"), (3, seen[0]));
        assert_eq!(asked(&client, &servers[0]), seen[0], "the others go on");
    }
}
