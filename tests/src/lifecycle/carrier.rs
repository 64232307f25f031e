//! What `up` has connected carries the first packet.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::Duration,
};

use forwarder::{
    netns::Netns,
    reconcile::Datapath,
    testbed::{Namespace, patience},
};

use super::Host;
use crate::{
    fwd::{inside, unless_dropped},
    peers::{ANY, any, udp},
};

/// Namespaces in which interfaces come and go: the kernel sees new carriers when it is done with those.
const BUSY: usize = 24;
const UPS: usize = 12;

/// Ends them with the test, however that ends.
struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// Makes pairs and deletes them until it has `ended`, by programs, which take the CPUs as well.
fn come_and_go(ns: &Namespace, ended: &AtomicBool) {
    while !ended.load(Relaxed) {
        inside(ns, &["ip", "link", "add", "x", "type", "veth", "peer", "name", "y"]);
        inside(ns, &["ip", "link", "del", "x"]);
    }
}

/// A bridge drops what comes to a port whose carrier the kernel has not seen, and the host what it sends by such a bridge.
#[test]
fn first_packet_arrives_however_busy_the_kernel_is_with_interfaces() {
    let host = Host::new();
    let name = |number: usize| host.testbed.name(&format!("busy{number}"));
    let busy: Vec<_> = (0..BUSY).map(|number| Namespace::create(&name(number)).expect("a namespace")).collect();
    let server = udp(host.testbed.host(), any(7000));
    let limit = Some(patience(Duration::from_secs(2)));
    server.set_read_timeout(limit).expect("a socket");
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        let _ending = Ending(&ended);
        for ns in &busy {
            scope.spawn(|| come_and_go(ns, &ended));
        }
        for number in 0..UPS {
            let role = format!("c{number}");
            let request = host.request(&role).with_options(|it| it.datapath = Some(Datapath::Kernel));
            host.up(&request).expect("it is connected");
            let client = udp(&Netns::open_named(&host.name(&role)).expect("the namespace"), ANY);
            client.set_read_timeout(limit).expect("a socket");
            let answered = || {
                client.send_to(b"first", ("10.77.0.1", 7000)).expect("it leaves");
                let Ok((_, from)) = server.recv_from(&mut [0; 16]) else { return false };
                server.send_to(b"answer", from).expect("it leaves");
                client.recv_from(&mut [0; 16]).is_ok()
            };
            assert!(unless_dropped(answered, |answered| !answered), "the first packets of {role}");
        }
    });
}
