//! Whatever is written is read again, and no text is too strange.

use std::{collections::BTreeMap, net::Ipv4Addr};

use proptest::prelude::*;

use super::{rules, said};
use crate::text;
use fwd_dataplane::Backend;
use fwd_kernel::netns::Name;
use fwd_plan::{
    AskedLimits, Bridging, Datapath, Desired, Endpoint, EndpointOptions, Flows, HardwareAddress, IDLE_TIMES, Ipv4,
    Ipv6, Nat, Network, RateLimit, Sources, TableRequest, TargetRef, UplinkChoice,
};

fn limit() -> impl Strategy<Value = RateLimit> {
    let limited =
        (1..100_000u64, prop_oneof![Just(None), (1_500..10_000u64).prop_map(Some)]).prop_map(|(rate, burst)| {
            let usual = RateLimit::of_rate(rate * 8_000 + 8);
            RateLimit { burst: burst.unwrap_or(usual.burst), ..usual }
        });
    prop_oneof![Just(RateLimit::default()), limited]
}

fn networks() -> impl Strategy<Value = BTreeMap<String, Network>> {
    let uplink =
        prop_oneof![Just(UplinkChoice::Auto), Just(UplinkChoice::None), "[a-z]{1,8}".prop_map(UplinkChoice::Interface)];
    let kinds = (uplink, proptest::option::of(Just(Datapath::Tc)), proptest::option::of(68..9000u32));
    let flags = (any::<[bool; 5]>(), proptest::option::of(any::<u8>()), proptest::option::of(Just(Ipv6::Off)));
    let network = (kinds, flags).prop_map(|((uplink, datapath, mtu), (flags, subnet, ipv6))| {
        let [clamp_mss, ignore_xfrm, no_icc, kept, dns] = flags;
        Network {
            nat: (uplink != UplinkChoice::None).then_some(if dns { Nat::Eim } else { Nat::Symmetric }),
            gateway: subnet.map(|byte| Ipv4Addr::new(10, byte, 0, 9)),
            uplink,
            subnet: subnet.map(|byte| format!("10.{byte}.0.0/24").parse().expect("a subnet")),
            subnet6: subnet.filter(|_| kept).map(|byte| format!("fd00:{byte}::/64").parse().expect("a subnet")),
            ipv4: (subnet.is_none() && kept).then_some(Ipv4::Off),
            ipv6,
            mtu,
            datapath,
            clamp_mss,
            ignore_xfrm,
            no_icc,
            flows: if dns && kept { Flows::EastWest } else { Flows::Outside },
            bridging: if dns && !kept { Bridging::None } else { Bridging::Ports },
            multicast: no_icc && kept,
            allow_networks: Default::default(),
            kept,
            dns,
            source: Sources { v4: dns.then(|| Ipv4Addr::new(192, 0, 2, 9).into()), v6: None },
        }
    });
    let name = "[a-z][a-z0-9_.-]{0,8}|[\\PC--/]{1,9}".prop_filter("a name", |name| Name::of("a network", name).is_ok());
    proptest::collection::btree_map(name, network, 1..4)
}

prop_compose! {
    fn any_desired()(
        networks in networks(),
        endpoints in proptest::collection::btree_map(
            "[a-z\"' .]{1,6}[a-z]",
            (any::<[bool; 4]>(), limit(), limit(), any::<u8>(), any::<[u8; 6]>()),
            0..5,
        ),
        times in proptest::option::of(1..604_800u32),
    ) -> Desired {
        let first = networks.keys().next().expect("one").clone();
        // What two endpoints claim is refused.
        let endpoints = (0..).zip(endpoints).map(|(at, (name, ([spoof, no_default_route, mac, port], outbound, inbound, byte, bytes)))| {
            let target = TargetRef::Named(name.as_str().try_into().expect("a name"));
            Endpoint {
                id: target.id(if spoof { "eth0" } else { "eth1" }),
                network: first.clone(),
                owner_network: None,
                netns: Some(target),
                options: EndpointOptions {
                    ip: port.then(|| Ipv4Addr::new(10, 0, at, byte)),
                    announce: mac,
                    allow_spoof: spoof,
                    source: Sources { v4: mac.then_some(Ipv4Addr::new(192, 0, 2, byte).into()), v6: spoof.then(|| Ipv4Addr::new(192, 0, 2, byte).to_ipv6_mapped().into()) },
                    mac: mac.then_some(HardwareAddress(bytes)),
                    no_default_route,
                    metric: (!no_default_route && mac).then_some(byte.into()),
                    routes: if port { vec!["10.9.0.0/16=10.0.0.5".parse().expect("a route")] } else { Vec::new() },
                    limits: AskedLimits { outbound: Some(outbound), inbound: Some(inbound) },
                    policy: Some(if port { rules(&["allow-out any:53", "deny-in fd00::/8"]) } else { Vec::new() }),
                    attach: spoof.then_some(Backend::Tcx),
                    publish: if port { vec![format!("{}:80", 1 + u16::from_be_bytes([at, byte])).parse().expect("ports")] } else { Vec::new() },
                    aliases: if mac { vec!["www".parse().expect("a name")] } else { Vec::new() },
                    ..EndpointOptions::default()
                },
            }
        });
        let timeouts = times.map(|time| vec![(IDLE_TIMES[0].which, time)]).unwrap_or_default();
        let table = TableRequest { nat_ports: times.map(|_| (1024, 29_999)), max_flows: times, max_flows_per_ns: None, timeouts };
        Desired { table, networks, endpoints: endpoints.collect(), ..Desired::default() }
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(asked in any_desired()) {
        let written = text(&asked).expect("it can be said");
        let read = said(&written).unwrap_or_else(|error| panic!("{error}: {:?} in {written}", error.excerpt()));
        prop_assert_eq!(read, asked, "{}", written);
    }

    #[test]
    fn no_text_is_too_strange(text in "(\\PC|\n|\\[networks\\.|\\[\\[endpoints\\]\\]\n|ns = \"a\"\n|=|\"){0,40}") {
        if let Err(error) = said(&text) {
            prop_assert!(error.object.starts_with("a.toml:"), "{}", error);
            prop_assert!(error.excerpt().len() == 2 && error.remedy.is_some());
        }
    }
}
