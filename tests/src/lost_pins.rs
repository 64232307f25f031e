//! The programs go while the namespaces stay: somebody has removed the pins and unmounted the bpffs.

use std::fs;

use forwarder::testbed::{Process, command_in, tcx_programs, wait_until};

use crate::{
    bpf_ids::pin_directory,
    capture::Capture,
    commands::assert_reaches_outside,
    fwd::{Fwd, LIMIT, inside, pings, try_inside},
    ownership::forwards,
};

#[test]
fn without_programs_nothing_leaves_untranslated() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    assert_reaches_outside(&fwd, &pod);
    // The links as well: a copy of the bpffs in another mount namespace of the machine would keep them.
    for link in fs::read_dir(pin_directory(&fwd, "links")).expect("pins").flatten() {
        fs::remove_file(link.path()).expect("it is unpinned");
    }
    let bpffs = fwd.pins().join("bpf");
    inside(fwd.host(), &["umount", "-l", bpffs.to_str().expect("a plain path")]);
    wait_until(LIMIT, "the programs are gone", || Ok((attached(&fwd) == 0).then_some(())))
        .unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(forwards(&fwd), "1", "the kernel would still forward");
    let capture = Capture::start(&fwd);
    let outside = fwd.uplink(0).outside[0].to_string();
    for size in ["56", "4000"] {
        let ping = try_inside(&pod, &["ping", "-n", "-c3", "-i0.2", "-W1", "-s", size, &outside]);
        assert!(!ping.status.success(), "{ping:?}");
    }
    capture.assert_empty();
    fwd.ok(&["down", "--all"]);
    assert_eq!(forwards(&fwd), "0", "it was off before");
    assert!(!try_inside(fwd.host(), &["ip", "link", "show", "fwd0"]).status.success(), "the bridge is gone");
}

/// Programs of all interfaces of the host.
fn attached(fwd: &Fwd) -> u32 {
    let links = fwd.host().netlink().and_then(|netlink| netlink.links()).expect("links");
    let of = |index| fwd.host().run(|| tcx_programs(index)).map_or(0, |(ingress, egress)| ingress + egress);
    links.iter().map(|link| of(link.index)).sum()
}

/// Loses the pins while a copy of the bpffs in another mount namespace keeps the programs; `again` brings the namespace up once more.
#[track_caller]
fn assert_named(again: bool) {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    assert_reaches_outside(&fwd, &pod);
    let keeper = command_in(
        fwd.host(),
        &["unshare", "-m", "--propagation", "private", "sh", "-c", "echo ready; exec sleep 1000"],
    );
    let keeper = Process::spawn(keeper).expect("it starts");
    wait_until(LIMIT, "the mounts are copied", || Ok(keeper.stdout().contains("ready").then_some(())))
        .unwrap_or_else(|e| panic!("{e}"));
    let bpffs = fwd.pins().join("bpf");
    inside(fwd.host(), &["umount", "-l", bpffs.to_str().expect("a plain path")]);
    assert!(pings(&pod, fwd.uplink(0).outside[0]), "the programs run on");
    for args in [["ls"], ["stats"]] {
        let seen = fwd.call(&args);
        assert!(seen.status.success() && seen.stderr.contains("the records of fwd0, "), "{seen:?}");
    }
    // One remedy, and the other.
    if again {
        fwd.ok(&["up", "--ns", &pod.name]);
        assert_reaches_outside(&fwd, &pod);
        assert_eq!(fwd.call(&["ls"]).stderr, "");
    }
    let down = fwd.call(&["down", "--all"]);
    assert!(down.status.success(), "{down:?}");
    assert_eq!(forwards(&fwd), "0", "it was off before");
    let left = down.stderr.lines().filter(|line| line.contains("is still attached to eth0")).count();
    assert_eq!(u32::try_from(left), Ok(attached(&fwd)), "{down:?}");
    drop(keeper);
    wait_until(LIMIT, "the programs are gone", || Ok((attached(&fwd) == 0).then_some(())))
        .unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn programs_that_another_mount_namespace_keeps_are_named() {
    [false, true].into_iter().for_each(assert_named);
}

/// Until its flows have ended an endpoint keeps its record: nobody is given its address or its counters, and the next `down` comes back.
#[test]
fn endpoint_whose_flows_cannot_be_ended_keeps_its_record() {
    let fwd = Fwd::new();
    let (pod, other) = (fwd.up("c1", &[]), fwd.up("c2", &[]));
    assert_reaches_outside(&fwd, &pod);
    let flush = pin_directory(&fwd, "progs").join("flush");
    let away = flush.with_file_name("flush_away");
    fs::rename(&flush, &away).expect("it is there");
    let failed = fwd.call(&["down", "--ns", &pod.name]);
    assert!(!failed.status.success() && failed.stderr.contains("flush"), "{}{}", failed.stdout, failed.stderr);
    let listed = |name: &str| fwd.list(&["ls"]).iter().any(|it| it["ns"] == name);
    assert!(listed(&pod.name), "its record went before its flows");
    fs::rename(&away, &flush).expect("it is there");
    fwd.ok(&["down", "--ns", &pod.name]);
    assert!(!listed(&pod.name) && listed(&other.name));
}
