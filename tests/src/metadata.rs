//! What is known of an endpoint besides its record: too much of it is refused, and what cannot be read is in nobody's way.

use std::{fs, path::PathBuf};

use forwarder::dataplane::{Dataplane, RunDir};

use super::fwd::{Fwd, pings};

const USAGE: i32 = 2;

/// Replaces what is known of each endpoint by `text`, but of the last.
fn spoil_all_but_one(fwd: &Fwd, text: &[u8]) {
    let spoil = || {
        let plane = Dataplane::open(&RunDir::new(fwd.pins()), forwarder::netns::Netns::current()?.cookie()?)?;
        let plane = plane.expect("it is up");
        let endpoints = plane.endpoints()?;
        endpoints.iter().rev().skip(1).try_for_each(|(_, endpoint)| plane.spoil_metadata(endpoint, text))
    };
    fwd.host().run(spoil).expect("the map is written");
}

#[test]
fn endpoint_that_cannot_be_read_is_in_nobodys_way() {
    const LATER: &[u8] = br#"{"version":2,"who":"knows"}"#;
    for text in [LATER, b"{", b"", &[0xff; 64]] {
        let fwd = Fwd::new();
        let (one, two) = (fwd.up("c1", &[]), fwd.up("c2", &[]));
        spoil_all_but_one(&fwd, text);
        let ls = fwd.call(&["ls", "--json"]);
        assert!(ls.status.success(), "{ls:?}");
        assert!(ls.stderr.contains(&one.host_if) && ls.stderr.contains("down --all"), "{}", ls.stderr);
        let shown = fwd.list(&["ls"]);
        assert_eq!(shown.len(), 2, "{shown:#?}");
        let unknown = shown.iter().find(|shown| shown["ns"].is_null()).expect("one is not known");
        assert_eq!(unknown["host_if"], one.host_if.as_str(), "{unknown:#}");
        assert!(shown.iter().any(|shown| shown["ns"] == two.name.as_str()));
        fwd.ok(&["stats"]);
        fwd.ok(&["flows"]);
        fwd.ok(&["inspect", "--ns", &one.name]);
        let three = fwd.up("c3", &[]);
        assert!([&one, &two, &three].into_iter().all(|pod| pings(pod, fwd.uplink(0).outside[0])));
        // By the namespace itself, whatever is noted of its name.
        fwd.down("c1");
        assert_eq!(fwd.list(&["ls"]).len(), 2);
        spoil_all_but_one(&fwd, text);
        fwd.ok(&["down", "--all"]);
        assert!(fwd.list(&["ls"]).is_empty());
        let links = fwd.on_host(&["ip", "-o", "link"]);
        assert!(!links.contains(": fwd"), "{links}");
    }
}

#[test]
fn endpoint_of_which_there_is_too_much_to_say_is_refused_before_anything_changes() {
    let fwd = Fwd::new();
    let name = fwd.name("c1");
    fwd.ok(&["ns", "add", &name]);
    // Each such byte takes six in a document.
    let deep: PathBuf = std::iter::repeat_n("\u{1}".repeat(100), 8).collect();
    let top = fwd.run_dir().join("deep");
    let path = top.join(deep);
    fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
    std::os::unix::fs::symlink(format!("/run/netns/{name}"), &path).expect("a link");
    let netns = path.display().to_string();
    fwd.expect_error(&["up", "--netns", &netns], USAGE, &["4000", "shorter"]);
    fwd.expect_error(&["up", "--netns", &netns, "--dry-run"], USAGE, &["4000", "shorter"]);
    assert!(fwd.list(&["ls"]).is_empty());
    fs::remove_dir_all(top).expect("removed");
}
