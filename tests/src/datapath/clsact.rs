//! Kernels without TCX: the same programs as filters of a clsact qdisc.

use forwarder::{
    dataplane::{Backend, Hook, Sizes},
    netns::Netns,
    testbed::{self, command_in},
};

use super::fixture::with_fixture;
use crate::fwd::LIMIT;

/// What `tc` shows at a hook of an interface of this namespace.
fn filters(interface: &str, hook: &str) -> String {
    let here = Netns::current().unwrap();
    let tc = command_in(&here, &["tc", "filter", "show", "dev", interface, hook]);
    testbed::run(tc, LIMIT).unwrap().success().unwrap().stdout
}

#[test]
fn programs_are_attached_as_filters_and_detached_again() {
    with_fixture(&Sizes::default(), |fixture| {
        let hooks = [
            (Hook::FromNs, fixture.host_veth, "v0", "ingress"),
            (Hook::ToUplink, fixture.uplink, "eth0", "egress"),
            (Hook::FromUplink, fixture.uplink, "eth0", "ingress"),
        ];
        for (hook, ifindex, interface, side) in hooks {
            fixture.dataplane.attach_by(Backend::Clsact, hook, ifindex).unwrap();
            let shown = filters(interface, side);
            assert!(shown.contains(hook.program()) && shown.contains("direct-action"), "{interface} {side}: {shown}");
        }
        fixture.dataplane.detach_endpoint(fixture.host_veth).unwrap();
        fixture.dataplane.detach_uplink(fixture.uplink).unwrap();
        for (_, _, interface, side) in hooks {
            assert_eq!(filters(interface, side), "", "{interface} {side}");
            let tc = command_in(&Netns::current().unwrap(), &["tc", "qdisc", "show", "dev", interface]);
            let qdiscs = testbed::run(tc, LIMIT).unwrap().success().unwrap().stdout;
            assert!(!qdiscs.contains("clsact"), "it goes with the last filter: {qdiscs}");
        }
    });
}
