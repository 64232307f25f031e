//! The programs go while the namespaces stay: somebody has removed the pins and unmounted the bpffs.

use std::fs;

use forwarder::lab::{tcx_programs, wait_until};

use crate::{
    bpf_ids::pin_directory,
    capture::Capture,
    commands::assert_reaches_outside,
    fwd::{Fwd, LIMIT, inside, try_inside},
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
    let links = fwd.host().netlink().and_then(|netlink| netlink.links()).expect("links");
    let attached = || {
        links
            .iter()
            .map(|link| fwd.host().run(|| tcx_programs(link.index)).map_or(0, |(ingress, egress)| ingress + egress))
            .sum::<u32>()
    };
    wait_until(LIMIT, "the programs are gone", || Ok((attached() == 0).then_some(())))
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
