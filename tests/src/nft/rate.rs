//! Rules by which endpoints send no more than they may.

use forwarder::netlink::nft::{self, ByteRate, PortGuard, PortRate};

use super::{namespace, run};

#[test]
fn limit_of_an_endpoint_is_shown_as_one_would_write_it_and_goes_alone() {
    let host = namespace();
    let address = "10.77.0.2".parse().unwrap();
    let limit = |rate, burst| PortRate {
        network: "default".into(),
        port: "lo".into(),
        index: 1,
        address,
        most: ByteRate::new(rate, burst),
    };
    let guard = PortGuard {
        network: "default".into(),
        port: "lo".into(),
        index: 1,
        addresses: vec![address],
        groups: Vec::new(),
    };
    host.run(|| nft::ensure_guard(&guard)).unwrap();
    let guards = host.run(nft::guard_rules).unwrap();
    // A burst below what comes in a second is none to nftables.
    for (limit, burst) in [(limit(5_000_000, 65_536), 0), (limit(1_000, 10_001), 9_001)] {
        assert_eq!(limit.most.burst, burst);
        // Again is the same.
        for _ in 0..2 {
            host.run(|| nft::ensure_rate(&limit)).unwrap();
        }
        let shown = run(&host, &["nft", "-s", "list", "chain", "bridge", nft::TABLE, "rate"]).success().unwrap().stdout;
        let (_, rule) = limit.rule().split_once(' ').map(|(chain, rule)| (chain.to_owned(), rule.to_owned())).unwrap();
        assert!(shown.contains(&format!("\t{rule} comment \"default 10.77.0.2\"\n")), "{rule}: {shown}");
        let found = host.run(nft::rate_rules).unwrap();
        assert_eq!(found.iter().map(|it| (it.most, it.address())).collect::<Vec<_>>(), [(limit.most, Some(address))]);
    }
    // Neither takes the other along.
    assert_eq!(host.run(nft::guard_rules).unwrap(), guards);
    assert!(host.run(|| nft::remove_guard("default", address)).unwrap());
    assert_eq!(host.run(nft::rate_rules).unwrap().len(), 1);
    assert!(host.run(|| nft::remove_rate("default", address)).unwrap());
    assert!(!host.run(|| nft::remove_rate("default", address)).unwrap());
    assert_eq!(host.run(nft::tables).unwrap(), [""; 0]);
}
