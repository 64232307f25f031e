//! What a former version has brought up goes on under this one: taken over under traffic, brought back, and taken over again.
//!
//! `./x upgrade REV…` builds the programs of other commits, whose flows are laid out as this one's. Without them, another build of this version
//! stands in for one.

use std::{env, path::Path};

use crate::{
    commands::{assert_as_before, assert_reaches_outside, snapshot},
    fwd::{Fwd, Pod},
    reload::{by, other_build, under_traffic},
};

/// Programs of former versions, as in `PATH`.
const FORMER: &str = "FWD_TEST_FORMER";

#[test]
fn what_a_former_version_has_brought_up_goes_on_under_this_one() {
    let Some(programs) = env::var_os(FORMER) else {
        let fwd = Fwd::new();
        let former = other_build(&fwd, &fwd.up("c1", &[]));
        fwd.ok(&["down", "--all"]);
        return goes_on(&fwd, &former);
    };
    env::split_paths(&programs).for_each(|former| {
        println!("{}", former.display());
        goes_on(&Fwd::new(), &former);
    });
}

fn goes_on(fwd: &Fwd, former: &Path) {
    let before = snapshot(fwd);
    let cgroup = fwd.cgroup().expect("this machine has cgroup2").to_str().expect("a plain path");
    let up = |role: &str, options: &[&str]| -> Pod {
        let shown = by(former, fwd, &[&["--cgroup", cgroup, "up", "--ns", &fwd.name(role)], options].concat()).0;
        fwd.pod(role, shown)
    };
    let pod = up("c1", &["-p", "8080:80"]);
    up("c2", &["--network", "vault", "--internal"]);
    let count = |command: &[&str]| fwd.list(command).len();
    under_traffic(fwd, &pod, |talk| {
        talk();
        for is_last in [false, true] {
            let shown = fwd.json(&["reload"]);
            assert!(shown["changed"] == true && shown["after"]["current"] == true, "{shown}");
            assert_eq!((count(&["ls"]), count(&["network", "ls"]), count(&["port", "ls"])), (2, 2, 1));
            assert_eq!(fwd.json(&["up", "--ns", &pod.name])["changed"], false);
            talk();
            if !is_last {
                let shown = fwd.json(&["reload", "--rollback"]);
                assert!(shown["changed"] == true && shown["rolled_back"] == true, "{shown}");
                let listed = by(former, fwd, &["ls"]).0;
                assert_eq!(listed.as_array().map(Vec::len), Some(2), "{listed}");
                talk();
            }
        }
    });
    let third = fwd.up("c3", &[]);
    [&pod, &third].into_iter().for_each(|pod| assert_reaches_outside(fwd, pod));
    fwd.ok(&["down", "--all"]);
    assert_as_before(fwd, &before);
}
