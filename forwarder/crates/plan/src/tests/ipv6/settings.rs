//! Settings of IPv6 that are not of all interfaces.

use super::request;
use crate::{accept_ra, forwarding6, testing::World};

#[test]
fn single_interfaces_are_routers_again_and_new_ones_heed_advertisements() {
    let mut world = World::with_ipv6();
    world.host.sysctls.insert(forwarding6("eth1"), "1".into());
    let before = world.snapshot();
    world.up(&request("a"));
    assert_eq!(world.host.sysctls[&accept_ra("eth1")], "1", "a router heeds none, and that was so before");
    world.add_uplink("wlan0", 4711, "192.0.2.2/24");
    assert_eq!(world.host.sysctls[&accept_ra("wlan0")], "2");
    world.delete_link("wlan0");
    world.host.sysctls.retain(|path, _| !path.contains("/wlan0/"));
    assert_eq!(world.plan_up(&request("a")).expect("it is up").ops, []);
    world.down(None);
    assert_eq!(world.host.sysctls[&forwarding6("eth1")], "1");
    assert_eq!(world.snapshot(), before);
}

#[test]
fn what_somebody_sets_meanwhile_stays() {
    let mut world = World::with_ipv6();
    world.host.sysctls.insert(forwarding6("eth1"), "1".into());
    world.up(&request("a"));
    let closed = [forwarding6("eth1"), accept_ra("eth0")];
    for path in &closed {
        world.host.sysctls.insert(path.clone(), "0".into());
    }
    world.up(&request("b"));
    assert_eq!(world.host.sysctls[&accept_ra("eth0")], "0", "the next one does not open it again");
    world.down(None);
    assert_eq!(closed.map(|path| world.host.sysctls[&path].clone()), ["0", "0"], "nor does the last");
}
