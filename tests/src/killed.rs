//! `up` and `down` killed after each operation of their plans: the next command completes or removes what is left.

pub(crate) mod reload;

use std::net::Ipv4Addr;

use forwarder::testbed::{self, TestbedSpec, wait_until};

use crate::{
    fwd::{Fwd, LIMIT, answers, pings},
    ownership::forwards,
    uplinks::{await_way_out, ip, make_anew},
};

/// Runs `fwd ARGS…` and kills it after operation `after`. Whether it came to its end before.
#[track_caller]
fn killed(fwd: &Fwd, args: &[&str], after: usize) -> bool {
    let output = fwd.observed(&["die-after", &after.to_string()], args);
    assert!(output.status.code().is_none_or(|code| code == 0), "{:?}: {}", output.status, output.stderr);
    output.status.success()
}

/// Calls `check` with a fresh host and the number of the operation, until the command comes to its end.
fn after_each_operation(fwd: &Fwd, mut prepare: impl FnMut(), args: &[&str], mut check: impl FnMut(usize)) {
    for after in 0.. {
        prepare();
        let ended = killed(fwd, args, after);
        check(after);
        if ended {
            assert!(after > 3, "a plan of {after} operations is no plan");
            return;
        }
    }
}

/// With XDP, whose plan has all operations of the one without.
#[test]
fn next_up_completes_a_killed_one() {
    let options = ["--nat", "eim", "--clamp-mss", "--allow-spoof", "--max-flows", "1000", "--timeout", "icmp=2m"];
    killed_up_is_completed("xdp", &options);
}

#[test]
fn next_up_completes_a_killed_one_of_the_kernel_datapath() {
    killed_up_is_completed("kernel", &["-p", "8080-8089:8080-8089"]);
}

#[test]
fn next_up_completes_a_killed_one_with_ipv6() {
    let fwd = Fwd::with(&TestbedSpec { ipv6: true, ..TestbedSpec::default() });
    let [source, source6] = own_addresses(&fwd);
    killed_up_is_completed_on(&fwd, "kernel", &["--source", &source, "--source6", &source6, "-p", "8080:80"]);
}

#[test]
fn next_up_completes_a_killed_one_with_filters() {
    killed_up_is_completed("tc", &["--attach", "clsact", "-p", "8080-8089:80-89", "--dns"]);
}

#[test]
fn next_up_completes_a_killed_one_without_a_bridge() {
    killed_up_is_completed("tc", &["--bridge", "none", "--attach", "clsact", "-p", "8080-8089:80-89"]);
}

/// The addresses of the uplink, of both families.
fn own_addresses(fwd: &Fwd) -> [String; 2] {
    let uplink = fwd.uplink(0);
    [uplink.address.to_string(), uplink.ipv6.expect("the testbed has IPv6").address.to_string()]
}

fn killed_up_is_completed(datapath: &str, options: &[&str]) {
    killed_up_is_completed_on(&Fwd::new(), datapath, options);
}

fn killed_up_is_completed_on(fwd: &Fwd, datapath: &str, options: &[&str]) {
    let before = fwd.snapshot().unwrap();
    let name = fwd.name("c1");
    let options = [&["--datapath", datapath], options].concat();
    let up = [&["up", "--ns", &name], &options[..]].concat();
    after_each_operation(
        fwd,
        || {},
        &up,
        |after| {
            let pod = fwd.up("c1", &options);
            let shown = fwd.json(&["inspect", &name]);
            let is_given = |option| options.contains(&option);
            assert_eq!(shown["clamp_mss"], is_given("--clamp-mss"), "after a kill at operation {after}");
            assert_eq!(shown["allow_spoof"], is_given("--allow-spoof"), "after a kill at operation {after}");
            let attach =
                if datapath == "kernel" { None } else { Some(if is_given("clsact") { "clsact" } else { "tcx" }) };
            assert_eq!(shown["attach"].as_str(), attach, "after a kill at operation {after}");
            let ports = shown["published"].as_array().map(Vec::len);
            assert_eq!(ports, Some(usize::from(is_given("-p"))), "after a kill at operation {after}");
            // The first packet gets there; how long a busy machine takes for it decides nothing.
            let leads_out = |ping: &[&str], to: String| {
                let ping = testbed::command_in(&pod.ns, &[ping, &["-n", "-q", "-c", "1", "-W", "30", &to]].concat());
                testbed::run(ping, LIMIT).unwrap().status.success()
            };
            let uplink = fwd.uplink(0);
            assert!(
                leads_out(&["ping"], uplink.outside[0].to_string()),
                "no way out after a kill at operation {after}"
            );
            if let Some(ipv6) = uplink.ipv6 {
                let leads_out = leads_out(&["ping", "-6"], ipv6.outside.to_string());
                assert!(leads_out, "no way out by IPv6 after a kill at operation {after}");
            }
            fwd.ok(&["down", "--all"]);
            let difference = before.diff(&fwd.snapshot().unwrap());
            assert!(difference.is_empty(), "killed after operation {after}: {difference:#?}");
        },
    );
}

#[test]
fn down_removes_what_a_killed_up_left() {
    let fwd = Fwd::new();
    let before = fwd.snapshot().unwrap();
    let name = fwd.name("c1");
    after_each_operation(
        &fwd,
        || {},
        &["up", "--ns", &name, "--datapath", "xdp", "--dns"],
        |after| {
            fwd.ok(&["down", "--all"]);
            let difference = before.diff(&fwd.snapshot().unwrap());
            assert!(difference.is_empty(), "killed after operation {after}: {difference:#?}");
        },
    );
}

#[test]
fn next_down_completes_a_killed_one() {
    let fwd = Fwd::new();
    let before = fwd.snapshot().unwrap();
    let prepare = || drop(fwd.up("c1", &["--datapath", "xdp", "-p", "8080:80", "--dns"]));
    after_each_operation(&fwd, prepare, &["down", "--all"], |after| {
        fwd.ok(&["down", "--all"]);
        let difference = before.diff(&fwd.snapshot().unwrap());
        assert!(difference.is_empty(), "killed after operation {after}: {difference:#?}");
    });
}

#[test]
fn next_command_completes_one_that_was_killed_while_it_made_a_deleted_bridge_anew() {
    let fwd = Fwd::new();
    let name = fwd.name("c2");
    let subnet = ["--subnet", "10.99.0.0/24"];
    let delete_bridge = || ip(&fwd, "link del fwd0");
    let prepare = || {
        fwd.up("c1", &subnet);
        delete_bridge();
    };
    after_each_operation(&fwd, prepare, &["up", "--ns", &name], |after| {
        // Whoever names no subnet gets into the one that the network has.
        let (other, one) = (fwd.up("c2", &[]), fwd.up("c1", &[]));
        assert_eq!([one.gateway, other.gateway], [Ipv4Addr::new(10, 99, 0, 1); 2], "killed after operation {after}");
        assert!(pings(&one, other.address) && pings(&one, one.gateway), "killed after operation {after}");
        fwd.ok(&["down", "--all"]);
    });
    // Whom it reaches is known by the number of its bridge.
    let (one, web) = (fwd.up("c1", &subnet), fwd.up("c3", &["--network", "web"]));
    fwd.ok(&["network", "add", "fwd0", "--allow-network", "web"]);
    fwd.ok(&["network", "add", "web", "--allow-network", "fwd0"]);
    delete_bridge();
    fwd.expect_error(&["up", "--ns", &name, "--subnet", "10.98.0.0/24"], 4, &["10.99.0.0/24"]);
    let other = fwd.up("c2", &[]);
    for peer in [&one, &other] {
        assert!(pings(&web, peer.address) && pings(peer, web.address), "the networks have allowed each other");
    }
}

#[test]
fn next_command_completes_one_that_was_killed_while_it_mended_an_uplink() {
    for datapath in ["tc", "xdp", "kernel"] {
        let fwd = Fwd::new();
        let name = fwd.name("c1");
        let prepare = || {
            fwd.up("c1", &["--datapath", datapath]);
            make_anew(&fwd);
        };
        after_each_operation(&fwd, prepare, &["up", "--ns", &name], |after| {
            let pod = fwd.up("c1", &[]);
            await_way_out(&fwd, &pod);
            fwd.ok(&["down", "--all"]);
            // The uplink itself is another one by now.
            assert_eq!(forwards(&fwd), "0", "killed after operation {after}");
            assert!(fwd.list(&["ls"]).is_empty(), "killed after operation {after}");
        });
    }
}

#[test]
fn next_command_completes_one_that_was_killed_while_it_followed_a_renamed_uplink() {
    for datapath in ["tc", "kernel"] {
        let fwd = Fwd::new();
        let name = fwd.name("c1");
        let rename = |from, to| {
            for line in
                [format!("link set {from} down"), format!("link set {from} name {to}"), format!("link set {to} up")]
            {
                ip(&fwd, &line);
            }
            ip(&fwd, &format!("route replace default via {} dev {to}", fwd.uplink(0).gateway));
        };
        let prepare = || {
            fwd.up("c1", &["--datapath", datapath]);
            rename("eth0", "wan0");
        };
        let after_each = |after: usize| {
            let pod = fwd.up("c1", &[]);
            await_way_out(&fwd, &pod);
            assert_eq!(pod.shown["uplink"], "wan0", "killed after operation {after}");
            fwd.ok(&["down", "--all"]);
            rename("wan0", "eth0");
        };
        let up = ["up", "--ns", &name];
        for after in 0.. {
            prepare();
            let ended = killed(&fwd, &up, after);
            after_each(after);
            if ended {
                break;
            }
        }
    }
}

#[test]
fn next_command_completes_one_that_was_killed_while_it_took_another_uplink() {
    // By nftables there is something to change only where the network was bound to the other one.
    for options in [&["--datapath", "tc"][..], &["--datapath", "kernel", "--uplink", "eth0"]] {
        let fwd = Fwd::with(&TestbedSpec { uplinks: 2, ..TestbedSpec::default() });
        let name = fwd.name("c1");
        let prepare = || {
            make_anew(&fwd);
            fwd.up("c1", options);
            ip(&fwd, "link del eth0");
            ip(&fwd, &format!("route replace default via {} dev eth1", fwd.uplink(1).gateway));
        };
        after_each_operation(&fwd, prepare, &["up", "--ns", &name, "--uplink", "eth1"], |after| {
            let pod = fwd.up("c1", &["--uplink", "eth1"]);
            wait_until(LIMIT, "there is a way out", || Ok(answers(&pod, fwd.uplink(1).outside[0]).then_some(())))
                .unwrap_or_else(|error| panic!("killed after operation {after}: {error}"));
            fwd.ok(&["down", "--all"]);
            ip(&fwd, "link add eth0 type bridge");
        });
    }
}
