//! Networks that are there whoever is in them: `fwd network`.

use forwarder::testbed::TestbedSpec;
use serde_json::{Value, json};

use crate::{
    commands::{assert_as_before, assert_reaches_outside, exists, snapshot},
    fwd::{Fwd, Pod, answers, answers6, inside, open, pings, text},
    peers::{ANY, any, at, connect, echo_tcp, echoed, listen},
    policy::ends,
};

/// What `fwd network ls` says of a network.
#[track_caller]
fn listed(fwd: &Fwd, network: &str) -> Value {
    let networks = fwd.list(&["network", "ls"]);
    networks.into_iter().find(|it| it["network"] == network).unwrap_or_else(|| panic!("{network} is not listed"))
}

#[test]
fn network_is_there_before_its_first_namespace_and_after_its_last() {
    for datapath in ["tc", "kernel"] {
        let fwd = Fwd::new();
        let before = snapshot(&fwd);
        let made = fwd.json(&["network", "add", "web", "--subnet", "10.9.0.0/24", "--datapath", datapath, "--no-icc"]);
        assert_eq!(
            (&made["changed"], &made["kept"], &made["endpoints"], &made["subnets"], &made["gateways"]),
            (&json!(true), &json!(true), &json!(0), &json!(["10.9.0.0/24"]), &json!(["10.9.0.1"]))
        );
        assert_eq!(
            (&made["datapath"], &made["no_icc"], &made["uplink"]),
            (&json!(datapath), &json!(true), &json!("eth0"))
        );
        let alone = snapshot(&fwd);
        assert!(pings(fwd.host(), [10, 9, 0, 1].into()), "the bridge is up");
        assert!(fwd.ok(&["ls"]).contains("web  10.9.0.0/24, uplink eth0"), "{}", fwd.ok(&["ls"]));
        assert_eq!(fwd.list(&["ls"]), [json!(null); 0]);
        assert_eq!(fwd.json(&["network", "add", "web"])["changed"], false);
        // It has its options already.
        let pod = fwd.up("c1", &["--network", "web"]);
        assert!(pod.address.octets().starts_with(&[10, 9, 0]), "{}", pod.address);
        assert_eq!((&pod.shown["datapath"], &pod.shown["no_icc"]), (&json!(datapath), &json!(true)));
        assert_reaches_outside(&fwd, &pod);
        assert_eq!(listed(&fwd, "web")["endpoints"], 1);
        fwd.down("c1");
        // What a bridge can cut by itself depends on the ports that it had.
        let differing: Vec<_> = alone.diff(&snapshot(&fwd)).into_iter().filter(|it| !it.contains("TsoMax")).collect();
        assert_eq!(differing, [""; 0]);
        assert_eq!(listed(&fwd, "web")["endpoints"], 0);
        let gone = fwd.json(&["network", "rm", "web"]);
        assert_eq!((&gone["network"], &gone["changed"]), (&json!("web"), &json!(true)));
        assert_eq!(fwd.list(&["network", "ls"]), [json!(null); 0]);
        assert_as_before(&fwd, &before);
    }
}

#[test]
fn network_in_use_goes_by_force_with_its_namespaces_and_no_others() {
    let fwd = Fwd::new();
    let before = snapshot(&fwd);
    fwd.ok(&["network", "add", "web"]);
    let (one, other) = (fwd.up("c1", &["--network", "web"]), fwd.up("c2", &[]));
    fwd.expect_error(&["network", "rm", "web"], 4, &["network web", &one.name, "network rm web --force"]);
    fwd.expect_error(&["network", "rm", "wbe"], 3, &["network wbe", "network ls"]);
    fwd.expect_error(&["network", "rm", "we"], 3, &["network we", "did you mean `web`?"]);
    let steps = fwd.ok(&["network", "rm", "web", "--force", "--dry-run"]);
    assert!(steps.contains("delete bridge web") || steps.contains("bridge web"), "{steps}");
    fwd.ok(&["network", "rm", "web", "--force"]);
    assert!(!exists(&one.name) && exists(&other.name));
    assert_reaches_outside(&fwd, &other);
    assert!(text(&listed(&fwd, "fwd0")["uplink_state"]) == "up");
    // One that `up` has made goes with its last namespace, unless it is kept from some time on.
    fwd.ok(&["network", "add", "fwd0"]);
    fwd.down("c2");
    assert_eq!(listed(&fwd, "fwd0")["kept"], true);
    fwd.ok(&["down", "--all"]);
    assert_as_before(&fwd, &before);
}

#[test]
fn network_that_cannot_be_is_refused_before_anything_is_changed() {
    let fwd = Fwd::new();
    let before = snapshot(&fwd);
    for (options, code, words) in [
        (&["a/b"][..], 2, &["a/b"][..]),
        (&["all"], 2, &["all", "--network fwd0"]),
        (&["web", "--uplink", "eth9"], 3, &["eth9", "eth0"]),
        (&["web", "--subnet", "198.51.100.0/24"], 4, &["198.51.100.0/24"]),
        (&["web", "--mtu", "9000"], 2, &["MTU 9000"]),
        (&["web", "--internal", "--nat", "eim"], 2, &["--nat eim", "--internal"]),
        (&["web", "--datapath", "kernel", "--clamp-mss"], 5, &["--clamp-mss"]),
    ] {
        fwd.expect_error(&[&["network", "add"], options].concat(), code, words);
    }
    assert_as_before(&fwd, &before);
    fwd.ok(&["network", "add", "web"]);
    for options in [&["--internal"][..], &["--nat", "eim"], &["--subnet", "10.8.0.0/24"], &["--mtu", "1400"]] {
        let words = ["network web", "network rm web"];
        fwd.expect_error(&[&["network", "add", "web"], options].concat(), 4, &words);
    }
    let steps = fwd.ok(&["network", "add", "db", "--internal", "--dry-run"]);
    assert!(steps.contains("link add db") && steps.contains("it stays when its last endpoint goes"), "{steps}");
    assert_eq!(fwd.list(&["network", "ls"]).len(), 1);
    fwd.ok(&["network", "rm", "web"]);
    assert_as_before(&fwd, &before);
}

#[test]
fn networks_reach_each_other_while_each_allows_the_other() {
    assert_reach_while_allowed("tc");
}

#[test]
fn networks_that_the_kernel_forwards_reach_each_other_likewise() {
    assert_reach_while_allowed("kernel");
}

/// Whether the kernel forwards IPv4 that comes from a network. Rules can be flushed by others: from an internal one only where it has to.
#[track_caller]
fn forwards_from(fwd: &Fwd, network: &str) -> bool {
    let path = format!("/proc/sys/net/ipv4/conf/{}/forwarding", text(&listed(fwd, network)["bridge"]));
    fwd.on_host(&["cat", &path]).trim() == "1"
}

/// They speak by the addresses that they have.
#[track_caller]
fn assert_speaks_untranslated(one: &Pod, db: &Pod) {
    let server = listen(db, any(5432));
    let clients = echo_tcp(server, 1);
    let stream = connect(one, ANY, at(db.address, 5432)).expect("it connects");
    (0..20).for_each(|_| echoed(&stream, &[7; 20_000]));
    drop(stream);
    assert_eq!(clients.join().expect("the server")[0].ip(), std::net::IpAddr::from(one.address));
    let large = ["ping", "-n", "-q", "-c1", "-W2", "-s", "4000", &db.address.to_string()];
    inside(one, &large);
}

/// Two networks that are isolated until each has allowed the other (CNI plugins #474: they must be).
fn assert_reach_while_allowed(datapath: &str) {
    let by_programs = datapath != "kernel";
    let fwd = Fwd::with(&TestbedSpec { ipv6: true, ..TestbedSpec::default() });
    let before = snapshot(&fwd);
    fwd.ok(&["network", "add", "web", "--no-icc", "--subnet", "10.8.0.0/24", "--datapath", datapath]);
    fwd.ok(&["network", "add", "db", "--internal", "--datapath", datapath]);
    let [one, two] = ["c1", "c2"].map(|role| fwd.up(role, &["--network", "web"]));
    // An internal network leads nowhere by itself; nor is a namespace's own route a way out.
    let db = fwd.up("c3", &["--network", "db", "--route", "10.8.0.0/24"]);
    inside(&db, &["ip", "route", "add", "default", "via", &db.gateway.to_string()]);
    let third = fwd.up("c4", &["--datapath", datapath]);
    let isolated = |why: &str| {
        assert!(!answers(&one, db.address) && !answers(&db, one.address) && !forwards_from(&fwd, "db"), "{why}");
    };
    isolated("nobody has allowed anything");
    let said = fwd.call(&["network", "add", "web", "--allow-network", "db"]);
    assert!(said.status.success() && said.stderr.contains("network add db --allow-network web"), "{said:?}");
    assert_eq!((&listed(&fwd, "web")["allows"], &listed(&fwd, "web")["reaches"]), (&json!(["db"]), &json!([])));
    isolated("one has allowed it");
    let said = fwd.call(&["network", "add", "db", "--allow-network", "web"]);
    assert!(said.status.success() && said.stderr.is_empty(), "{said:?}");
    for (network, other) in [("web", "db"), ("db", "web")] {
        assert_eq!(listed(&fwd, network)["reaches"], json!([other]));
    }
    assert!(pings(&one, db.address) && pings(&db, one.address) && pings(&two, db.address));
    assert_eq!(forwards_from(&fwd, "db"), !by_programs, "where the kernel delivers");
    assert_speaks_untranslated(&one, &db);
    if by_programs {
        assert_eq!(fwd.list(&["flows"]).len(), 0, "nor are there flows");
    }
    // No more than that: neither a third network, nor what each forbids by itself, nor a way out.
    assert!(!answers(&third, db.address) && !answers(&one, two.address) && !answers(&db, fwd.uplink(0).outside[0]));
    let from = third.address.to_string();
    inside(&one, &["ip", "address", "add", &from, "dev", "lo"]);
    assert!(
        !crate::fwd::try_inside(&one, &["ping", "-n", "-c1", "-W1", "-I", &from, &db.address.to_string()])
            .status
            .success()
    );
    // It stays through an up and a down, and ends when one withdraws it.
    fwd.up("c5", &["--network", "db"]);
    fwd.down("c5");
    assert!(pings(&one, db.address));
    let _server = echo_tcp(listen(&db, any(5433)), 1);
    let stream = connect(&one, ANY, at(db.address, 5433)).expect("it connects");
    echoed(&stream, &[7; 2000]);
    let forbidden = fwd.json(&["network", "forbid", "db", "web"]);
    assert_eq!((&forbidden["changed"], &forbidden["allows"]), (&json!(true), &json!([])));
    isolated("one allows it no more");
    ends(&stream);
    assert!(!by_programs || fwd.counted("from_ns", "dropped", Some("OtherNetwork")) >= 1);
    fwd.expect_error(&["network", "forbid", "gone", "web"], 3, &["network gone"]);
    // A network that is made anew under the same name has allowed nothing.
    fwd.ok(&["network", "add", "db", "--allow-network", "web"]);
    assert!(pings(&one, db.address));
    fwd.ok(&["network", "rm", "db", "--force"]);
    fwd.ok(&["network", "add", "db", "--datapath", datapath]);
    let again = fwd.up("c3", &["--network", "db"]);
    assert!(!answers(&one, again.address));
    fwd.ok(&["down", "--all"]);
    assert_as_before(&fwd, &before);
}

#[test]
fn networks_reach_each_other_by_ipv6_too() {
    ["tc", "kernel"].into_iter().for_each(assert_reach_by_ipv6);
}

fn assert_reach_by_ipv6(datapath: &str) {
    let fwd = Fwd::with(&TestbedSpec { ipv6: true, ..TestbedSpec::default() });
    let before = snapshot(&fwd);
    fwd.ok(&["network", "add", "web", "--allow-network", "db", "--datapath", datapath]);
    let up = |(role, network)| fwd.up(role, &["--network", network, "--datapath", datapath]);
    let [one, db] = [("c1", "web"), ("c2", "db")].map(up);
    let v6 = |shown: &Value| {
        let address = text(&shown["addresses"][1]);
        address.split('/').next().and_then(|it| it.parse().ok()).unwrap_or_else(|| panic!("no IPv6: {address}"))
    };
    let reached = || [answers6(&open(&one.name), v6(&db.shown)), answers6(&open(&db.name), v6(&one.shown))];
    assert_eq!(reached(), [false, false], "one has allowed it");
    if datapath == "tc" {
        assert!(fwd.counted("from_ns", "dropped", Some("OtherNetwork")) >= 1);
    }
    fwd.ok(&["network", "add", "db", "--allow-network", "web"]);
    assert_eq!(reached(), [true, true]);
    if datapath == "tc" {
        assert_eq!(fwd.list(&["flows"]).len(), 0, "nothing is translated");
    } else {
        // What somebody has taken away is made anew.
        for family in ["ip", "ip6"] {
            fwd.on_host(&["nft", "flush", "chain", family, "fwd_nat", "forward"]);
        }
        fwd.ok(&["network", "add", "web"]);
        assert_eq!(reached(), [true, true]);
    }
    fwd.ok(&["network", "forbid", "web", "db"]);
    assert_eq!(reached(), [false, false], "one allows it no more");
    // What is allowed goes with the network and its document, and nothing is left.
    fwd.ok(&["down", "--all"]);
    assert_as_before(&fwd, &before);
}
