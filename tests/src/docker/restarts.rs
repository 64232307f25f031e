//! What goes on while the driver is not there, and what it completes when it is again.

use nix::sys::signal::Signal;
use serde_json::json;

use super::{
    dockerd::{Dockerd, socket},
    reaches,
};
use crate::{
    fwd::{Fwd, LIMIT, binary, helper, pings},
    peers::{any, listen},
};
use forwarder::testbed::{Process, command_in, wait_until};

#[test]
fn a_driver_that_was_killed_goes_on_where_it_was() {
    let fwd = Fwd::new();
    let dockerd = Dockerd::start(&fwd);
    let network = dockerd.network(&"a1".repeat(32), "10.80.0", false, &json!({}));
    let mut one = dockerd.create(&network, 2);
    dockerd.end(Signal::SIGKILL);
    // Between two calls: what was said is noted.
    let dockerd = Dockerd::start(&fwd);
    let gateway = dockerd.ask_to_join(&mut one);
    dockerd.publish(&one, &json!([{ "Proto": 6, "Port": 80, "HostPort": 8080, "HostPortEnd": 8080 }]));
    dockerd.end(Signal::SIGKILL);
    // Before the container was there: packets are forwarded without the driver, and the next one learns where.
    let ns = one.move_in(&fwd, gateway.as_deref());
    let _server = listen(&ns, any(80));
    assert!(pings(&ns, fwd.uplink(0).outside[0]) && reaches(&fwd, 8080));
    let dockerd = Dockerd::start(&fwd);
    dockerd.learned(1);
    assert!(reaches(&fwd, 8080));
    // The same container again, which has left without being removed: docker does so when it refreshes it.
    one.move_out(&fwd, &ns);
    dockerd.call("Leave", &one.body(&[]));
    assert!(!reaches(&fwd, 8080));
    drop(ns);
    let (ns, _) = dockerd.join(&mut one);
    dockerd.learned(1);
    assert!(pings(&ns, fwd.uplink(0).outside[0]));
    dockerd.remove(&one);
    dockerd.delete_network(&network);
}

#[test]
fn networks_are_made_again_after_a_reboot_when_the_first_container_comes() {
    let fwd = Fwd::new();
    let dockerd = Dockerd::start(&fwd);
    let network = dockerd.network(&"a1".repeat(32), "10.80.0", false, &json!({ "fwd.network": "web" }));
    let mut former = dockerd.create(&network, 2);
    let (ns, _) = dockerd.join(&mut former);
    dockerd.end(Signal::SIGKILL);
    drop(ns);
    fwd.ok(&["down", "--all"]);
    let dockerd = Dockerd::start(&fwd);
    assert_eq!(fwd.list(&["network", "ls"]).len(), 0, "docker asks for no network that it has made before");
    // What docker still knew of is removed without anything being there.
    dockerd.remove(&former);
    let mut next = dockerd.create(&network, 3);
    assert_eq!(fwd.list(&["network", "ls"])[0]["network"], "web");
    let (ns, _) = dockerd.join(&mut next);
    dockerd.learned(1);
    assert!(pings(&ns, fwd.uplink(0).outside[0]));
    fwd.ok(&["down", "--all"]);
    dockerd.remove(&next);
    dockerd.delete_network(&network);
}

#[test]
fn a_socket_that_was_handed_over_is_taken() {
    let fwd = Fwd::new();
    std::fs::create_dir_all(fwd.run_dir().join("plugins")).expect("a directory");
    let (path, state) = (socket(&fwd).display().to_string(), fwd.run_dir().join("state").display().to_string());
    let (helper, binary) = (helper().display().to_string(), binary().display().to_string());
    let pins = fwd.pins().display().to_string();
    let argv = [&*helper, "hand-over", &path, &binary, "--run-dir", &pins, "docker", "--state-dir", &state];
    let driver = Process::spawn(command_in(fwd.host(), &argv)).expect("it starts");
    let listens = || Ok(socket(&fwd).exists().then_some(()));
    wait_until(LIMIT, "the socket is there", listens).expect("it is");
    let dockerd = Dockerd::with(&fwd, driver);
    assert_eq!(dockerd.connect().call("Plugin.Activate", &json!(null))["Implements"], json!(["NetworkDriver"]));
    let network = dockerd.network(&"a1".repeat(32), "10.80.0", false, &json!({}));
    dockerd.delete_network(&network);
    dockerd.end(Signal::SIGTERM);
    assert!(socket(&fwd).exists(), "it belongs to who has made it");
}
