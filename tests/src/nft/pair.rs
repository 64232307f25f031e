//! Rules by which networks reach each other.

use forwarder::netlink::nft::{self, NetworkPair, Separation};

use super::{namespace, run};

fn pair(subnets: [&str; 2]) -> NetworkPair {
    NetworkPair {
        networks: ["db".into(), "web".into()],
        bridges: ["db".into(), "web0".into()],
        subnets: subnets.map(|subnet| subnet.parse().unwrap()),
    }
}

#[test]
fn rules_of_a_pair_are_shown_as_one_would_write_them_and_go_alone_or_with_their_network() {
    let host = namespace();
    let wanted = [pair(["10.8.0.0/24", "10.9.0.0/16"]), pair(["fd00:8::/64", "fd00:9::/64"])];
    host.run(|| nft::ensure_isolation("db", "db", Separation::default())).unwrap();
    for rules in &wanted {
        // Again is the same.
        for _ in 0..2 {
            host.run(|| nft::ensure_pair(rules)).unwrap();
        }
        let v4 = rules.subnets[0].addr().is_ipv4();
        let shown = run(&host, &["nft", "list", "table", if v4 { "ip" } else { "ip6" }, nft::TABLE]);
        let shown = shown.success().unwrap().stdout;
        let found = shown.lines().filter_map(|line| line.split_once(" comment \"db with web\""));
        let mut found: Vec<&str> = found.map(|(rule, _)| rule.trim()).collect();
        let written = rules.rules();
        let mut written: Vec<&str> = written.iter().map(|(_, rule)| rule.as_str()).collect();
        found.sort_unstable();
        written.sort_unstable();
        assert_eq!(found, written, "{shown}");
        assert_eq!(host.run(|| nft::pair_rules(v4)).unwrap(), ["db with web"; 4]);
    }
    // What keeps others out comes after it, and is the network's own.
    let shown = run(&host, &["nft", "list", "chain", "ip", nft::TABLE, "forward"]).success().unwrap().stdout;
    assert!(shown.find("accept comment").unwrap() < shown.find("drop").unwrap(), "{shown}");
    assert_eq!(host.run(nft::isolated_networks).unwrap(), ["db"]);
    assert_eq!(host.run(|| nft::source_rules(true)).unwrap(), [""; 0]);
    host.run(|| nft::remove_pair(&wanted[0].networks)).unwrap();
    for v4 in [true, false] {
        assert_eq!(host.run(|| nft::pair_rules(v4)).unwrap(), [""; 0]);
    }
    // Again, and with the network.
    host.run(|| nft::ensure_pair(&wanted[0])).unwrap();
    assert!(host.run(|| nft::remove_isolation("db")).unwrap());
    assert_eq!(host.run(nft::tables).unwrap(), [""; 0]);
}
