//! Networks with a name server.

use super::{
    super::{
        Listener, Network, Object, UpRequest,
        testing::{World, name, named},
    },
    lifecycle::text,
    refusals::{refused, request},
};
use crate::export;
use fwd_base::{HostName, Kind};
use fwd_dataplane::Transport;
use fwd_kernel::netns::resolv::Found;

fn with_names() -> UpRequest {
    request().with_endpoint(|it| it.aliases = vec!["www".parse().expect("a name")]).with_options(|it| it.dns = true)
}

#[test]
fn name_server_comes_with_its_network_and_goes_with_it() {
    let mut world = World::new();
    let plan = world.up(&with_names());
    let shown = text(&plan.ops);
    for line in
        ["start name server of network fwd0", "--dns", "as www, too (--alias)", "nameserver 10.77.0.1", "search fwd0"]
    {
        assert!(shown.contains(line), "{line:?} is missing: {shown}");
    }
    assert_eq!(world.host.served.keys().collect::<Vec<_>>(), ["fwd0"]);
    // Again, and whoever joins: it is there, and asked by all.
    for again in [with_names(), request()] {
        assert_eq!(world.up(&again).ops, []);
    }
    assert!(text(&world.up(&UpRequest::new(named("b"))).ops).contains("nameserver 10.77.0.1"));
    assert_eq!(world.written.len(), 2);
    world.down(Some("b"));
    assert_eq!(world.host.served.len(), 1);
    world.down(Some("a"));
    assert!(world.host.served.is_empty() && world.written.is_empty() && world.undo.is_empty());
}

#[test]
fn name_server_that_has_died_is_started_by_the_next_up_and_no_obstacle_to_down() {
    let mut world = World::new();
    world.up(&with_names());
    world.host.served.clear();
    let plan = world.up(&request());
    assert!(matches!(&plan.ops[..], [op] if matches!(op.object, Object::NameServer(_))), "{:?}", plan.ops);
    world.host.served.clear();
    world.down(None);
    assert_eq!(world.records, Default::default());
}

#[test]
fn name_server_of_a_network_that_is_lost_goes_with_all() {
    let mut world = World::new();
    world.up(&request());
    world.host.served.insert("lost".into(), Vec::new());
    world.down(None);
    assert!(world.host.served.is_empty());
}

#[test]
fn aliases_outlive_the_veth_pair_and_are_exported() {
    let mut world = World::new();
    world.up(&with_names());
    world.delete_link(&world.records.endpoints[0].host_if.clone());
    world.up(&request());
    assert_eq!(world.records.endpoints[0].aliases, with_names().endpoint.aliases);
    let desired = export(&world.read_whole(&Default::default()));
    assert!(matches!(desired.networks.get("fwd0"), Some(Network { dns: true, .. })));
    assert_eq!(desired.endpoints[0].options.aliases, with_names().endpoint.aliases);
    assert_eq!(world.plan_whole(&desired).expect("it is there").ops, []);
}

#[test]
fn aliases_are_changed_while_an_endpoint_is_up_and_stay_otherwise() {
    let mut world = World::new();
    let names = |names: &[&str]| names.iter().map(|name| name.parse().expect("a name")).collect::<Vec<HostName>>();
    let with =
        |aliases: &[&str]| request().with_endpoint(|it| it.aliases = names(aliases)).with_options(|it| it.dns = true);
    world.up(&with(&[]));
    let ops = world.up(&with(&["www", "db"])).ops;
    assert!(matches!(&ops[..], [op] if matches!(op.object, Object::EndpointNames(_))), "{ops:?}");
    for line in ["other names of ", ": www, db", "/METADATA", "# --alias www", "# --alias db"] {
        assert!(text(&ops).contains(line), "{line:?} is missing: {}", text(&ops));
    }
    for same in [&["db", "www"][..], &["www", "db", "www"], &[]] {
        assert_eq!(world.up(&with(same)).ops, [], "{same:?}");
    }
    world.up(&with(&["mail", "mail"]));
    assert_eq!(world.records.endpoints[0].aliases, names(&["mail"]));
    // What files say is all that it has.
    let mut desired = export(&world.read_whole(&Default::default()));
    desired.endpoints[0].options.aliases.clear();
    let ops = world.plan_whole(&desired).expect("they are taken away").ops;
    assert!(text(&ops).contains("other names of ") && text(&ops).contains(": none"), "{ops:?}");
    // Noted is what there is room for.
    let long: Vec<String> = (0..100).map(|number| format!("{}{number}", "a".repeat(60))).collect();
    let long: Vec<&str> = long.iter().map(String::as_str).collect();
    refused(&world, &with(&long), Kind::Usage, &["names, addresses and routes take"]);
}

#[test]
fn port_of_another_process_and_names_without_a_server() {
    let mut world = World::new();
    let listener = |address: [u8; 4], process: Option<&str>| Listener {
        transport: Transport::Udp,
        address: std::net::IpAddr::from(address),
        port: 53,
        process: process.map(Into::into),
    };
    world.host.resolvers = vec![listener([127, 0, 0, 53], None), listener([10, 77, 1, 1], None)];
    world.plan_up(&with_names()).expect("they are elsewhere");
    world.host.resolvers.push(listener([0; 4], Some("dnsmasq (pid 7)")));
    refused(&world, &with_names(), Kind::Conflict, &["10.77.0.1:53", "fwd0", "dnsmasq (pid 7)", "--bind-dynamic"]);
    world.plan_up(&request()).expect("nobody asks for names");
    world.host.resolvers.clear();
    world.up(&request());
    refused(
        &world,
        &request().with_options(|it| it.dns = true),
        Kind::Conflict,
        &["fwd0", "name server is off, not on"],
    );
    let alias = with_names().with_options(|it| it.dns = false);
    refused(&world, &alias, Kind::Usage, &["--alias www", "network fwd0 has no name server", "--dns"]);
    let other = UpRequest { network: Some(name("web")), ..UpRequest::new(named("b")) };
    world.up(&other.clone().with_options(|it| it.dns = true));
    let alias = other.with_endpoint(|it| it.aliases = with_names().endpoint.aliases);
    world.plan_up(&alias).expect("names of one that is there are changed");
}

#[test]
fn file_of_somebody_else_stays_and_is_said() {
    let mut world = World::new();
    world.foreign_resolver = true;
    let plan = world.up(&with_names());
    assert!(world.written.is_empty());
    let said = plan.warnings.join("\n");
    assert!(said.contains("/etc/netns/a/resolv.conf is not fwd's") && said.contains("nameserver 10.77.0.1"), "{said}");
    assert_eq!(world.target(&named("a")).resolver.found, Found::Theirs);
}
