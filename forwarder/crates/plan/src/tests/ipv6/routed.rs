//! Networks whose addresses are not translated: routed ones, and internal ones.

use super::{refused, request, text};
use crate::{
    Datapath, Ipv6, PROXY_NDP, UpRequest, UplinkChoice,
    testing::{World, name},
};
use fwd_base::Kind;

fn routed(ns: &str, subnet: &str) -> UpRequest {
    request(ns).with_options(|it| {
        it.ipv6 = Some(Ipv6::Route);
        it.subnet6 = subnet.parse().ok();
    })
}

#[test]
fn routed_network_is_not_translated_and_needs_to_be_told_its_prefix() {
    for datapath in Datapath::ALL {
        let mut world = World::with_ipv6();
        let before = world.snapshot();
        refused(
            &world,
            &request("a").with_options(|it| it.ipv6 = Some(Ipv6::Route)),
            Kind::Usage,
            &["--subnet6", "delegated"],
        );
        // Whatever address the uplink has, the packets do not appear behind it.
        world.host.net.addresses.retain(|(_, address)| address.addr().is_ipv4());
        let plan = world.up(&routed("a", "2001:db8:7::/64").with_options(|it| it.datapath = Some(datapath)));
        let shown = text(&plan.ops);
        assert!(!shown.contains("ip6 saddr 2001:db8:7::/64 oifname") && !shown.contains("proxy"), "{shown}");
        assert!(
            shown.contains("# with --ipv6 route") && shown.contains("ip6 saddr != 2001:db8:7::/64 drop"),
            "{shown}"
        );
        assert_eq!(world.records.networks[0].ipv6(), Ipv6::Route);
        let again = routed("a", "2001:db8:7::/64").with_options(|it| it.datapath = None);
        assert!(world.up(&again).ops.is_empty());
        let masquerade = request("b").with_options(|it| {
            it.ipv6 = Some(Ipv6::Masquerade);
            it.datapath = None;
        });
        refused(&world, &masquerade, Kind::Conflict, &["its IPv6 is route, not masquerade"]);
        world.down(Some("a"));
        let addresses = World::with_ipv6().host.net.addresses;
        world.host.net.addresses = addresses;
        assert_eq!(world.snapshot(), before);
    }
}

#[test]
fn host_answers_for_addresses_that_are_on_the_link_of_the_uplink() {
    let mut world = World::with_ipv6();
    let before = world.snapshot();
    refused(&world, &routed("a", "2001:db8::/112"), Kind::Conflict, &["eth0 has the address", "another part"]);
    let shown = text(&world.up(&routed("a", "2001:db8::7:0/112")).ops);
    for line in ["sysctl -w net.ipv6.conf.all.proxy_ndp=1", "ip -6 neigh add proxy 2001:db8::7:2 dev eth0"] {
        assert!(shown.contains(line), "{line}: {shown}");
    }
    assert!(world.up(&routed("a", "2001:db8::7:0/112")).ops.is_empty());
    world.up(&request("b"));
    let shown = text(&world.down(Some("a")).ops);
    assert!(shown.contains("ip -6 neigh del proxy 2001:db8::7:2 dev eth0") && !shown.contains("proxy_ndp"), "{shown}");
    // Somebody has flushed them.
    world.host.net.proxies.clear();
    assert_eq!(text(&world.up(&request("b")).ops).matches("neigh add proxy").count(), 1);
    world.down(Some("b"));
    assert_eq!(world.snapshot(), before);
    // Where somebody else has it so, it stays.
    world.host.sysctls.insert(PROXY_NDP.into(), "1".into());
    let before = world.snapshot();
    let shown = text(&world.up(&routed("a", "2001:db8::7:0/112")).ops);
    assert!(!shown.contains("proxy_ndp") && shown.contains("add proxy"), "{shown}");
    world.down(Some("a"));
    assert_eq!(world.snapshot(), before);
}

/// Nothing is forwarded, and nobody outside need know the addresses.
#[test]
fn internal_network_has_addresses_and_no_forwarding() {
    for datapath in [Datapath::Kernel, Datapath::Tc] {
        let mut world = World::with_ipv6();
        let before = world.snapshot();
        let internal = |ns| {
            request(ns).with_options(|it| {
                it.uplink = UplinkChoice::None;
                it.datapath = Some(datapath);
            })
        };
        world.up(&UpRequest { network: Some(name("plain")), ..internal("c") });
        assert!(world.records.networks[0].gateway6.is_none(), "unless it is asked for");
        let plan = world.up(&internal("a").with_options(|it| it.ipv6 = Some(Ipv6::Route)));
        let shown = text(&plan.ops);
        assert!(!shown.contains("masquerade'") && !shown.contains("net.ipv6.conf.all.forwarding"), "{shown}");
        assert!(shown.contains("ip6 fwd_nat forward iifname \"fwd0\" oifname != \"fwd0\" drop"), "{shown}");
        let network = world.records.networks.iter().find(|network| network.name == "fwd0").expect("it");
        assert!(network.gateway6.is_some() && network.ipv6() == Ipv6::Route && !network.treatment.routed6);
        assert!(world.up(&internal("a")).ops.is_empty());
        world.up(&UpRequest { network: Some(name("db")), ..internal("b") }
            .with_options(|it| it.subnet6 = "fd00:77::/64".parse().ok()));
        for ns in ["a", "b", "c"] {
            world.down(Some(ns));
        }
        assert_eq!(world.snapshot(), before);
    }
}
