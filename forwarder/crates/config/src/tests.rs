//! Files, what is wrong with them, and the way back.

mod inverse;
mod json;

use std::{fs, net::Ipv4Addr, path::PathBuf};

use super::{Source, desired, read, schema};
use fwd_base::{Error, Kind, Result};
use fwd_dataplane::{Backend, EndpointId, EndpointOwner, Rule};
use fwd_plan::{
    AskedLimits, Bridging, Datapath, Desired, Endpoint, EndpointOptions, Flows, IDLE_TIMES, Ipv4, Ipv6, Nat, Network,
    RateLimit, Sources, TableRequest, TargetRef, UplinkChoice,
};

fn source(text: &str) -> Source {
    Source { path: "a.toml".into(), text: text.into() }
}

fn said(text: &str) -> Result<Desired> {
    desired(&[source(text)])
}

#[track_caller]
fn refused(text: &str, place: &str, words: &[&str]) -> Error {
    let error = said(text).map(|desired| panic!("{text} is accepted: {desired:?}")).unwrap_err();
    assert_eq!(error.kind, Kind::Usage, "{error}");
    assert_eq!(error.object, format!("a.toml:{place}"), "{error}");
    let told = format!("{error} | {}", error.remedy.as_deref().unwrap_or_else(|| panic!("no remedy: {error}")));
    words.iter().for_each(|word| assert!(told.contains(word), "{word:?} is missing: {told}"));
    let (line, _) = place.split_once(':').expect("a place");
    assert!(error.excerpt()[0].starts_with(&format!("{line} | ")), "{:?}", error.excerpt());
    error
}

/// Rules by their texts, in order.
fn rules(texts: &[&str]) -> Vec<Rule> {
    let mut rules: Vec<Rule> = texts.iter().map(|text| text.to_string().try_into().expect("a rule")).collect();
    rules.sort_unstable();
    rules
}

/// A file that says everything.
const EVERYTHING: &str = r#"
        [table]
        nat-ports = "2000-3000"
        max-flows = 1000
        max-flows-per-ns = 10
        timeouts = { icmp = "90s" }

        [networks.web]
        uplink = "eth1"
        subnet = "10.0.0.0/24"
        subnet6 = "fd00:77::/64"
        gateway = "10.0.0.254"
        ipv4 = "on"
        ipv6 = "masquerade"
        mtu = 1400
        datapath = "xdp"
        nat = "eim"
        clamp-mss = true
        ignore-xfrm = true
        no-icc = true
        flows = "east-west"
        bridge = "none"
        multicast = true
        allow-networks = ["vault"]
        dns = true
        keep = true
        source = "192.0.2.5"
        source6 = "2001:db8::5-2001:db8::6"

        [networks.vault]
        internal = true

        [networks.fwd0]

        [[endpoints]]
        ns = "a"
        network = "web"
        ifname = "eth1"
        ip = "10.0.0.9"
        ip6 = "fd00:77::9"
        mac = "02:00:00:00:00:01"
        aliases = ["WWW", "a.b"]
        metric = 7
        routes = ["10.9.0.0/16"]
        announce = true
        allow-spoof = true
        source = "192.0.2.7-192.0.2.9"
        source6 = "2001:db8::7"
        allow-out = ["any:53", "10.0.0.0/8:443/tcp"]
        deny-in = ["fd00::/8"]
        rate-out = "100M"
        burst-out = "1M"
        rate-in = "2.5G"
        attach = "clsact"
        publish = ["8080:80", "53:5353/udp from 192.0.2.0/24"]

        [[endpoints]]
        pid = 7
        no-default-route = true

        [[endpoints]]
        netns = "/run/netns/x"
        "#;

#[test]
fn every_key_of_table_and_networks_arrives() {
    let desired = said(EVERYTHING).expect("it is valid");
    let icmp = IDLE_TIMES.iter().find(|idle| idle.name == "icmp").expect("one").which;
    let table = TableRequest {
        nat_ports: Some((2000, 3000)),
        max_flows: Some(1000),
        max_flows_per_ns: Some(10),
        timeouts: vec![(icmp, 90)],
    };
    assert_eq!(desired.table, table);
    let web = Network {
        uplink: UplinkChoice::Interface("eth1".into()),
        subnet: "10.0.0.0/24".parse().ok(),
        subnet6: "fd00:77::/64".parse().ok(),
        gateway: Some([10, 0, 0, 254].into()),
        ipv4: Some(Ipv4::On),
        ipv6: Some(Ipv6::Masquerade),
        mtu: Some(1400),
        datapath: Some(Datapath::Xdp),
        nat: Some(Nat::Eim),
        clamp_mss: true,
        ignore_xfrm: true,
        no_icc: true,
        flows: Flows::EastWest,
        bridging: Bridging::None,
        multicast: true,
        allow_networks: ["vault".to_owned()].into(),
        kept: true,
        dns: true,
        source: Sources {
            v4: Some(Ipv4Addr::new(192, 0, 2, 5).into()),
            v6: Some("2001:db8::5-2001:db8::6".parse().expect("a range")),
        },
    };
    assert_eq!(desired.networks["web"], web);
    assert_eq!(desired.networks["vault"], Network { uplink: UplinkChoice::None, ..Network::default() });
    assert_eq!(desired.networks["fwd0"], Network { nat: Some(Nat::Symmetric), ..Network::default() });
}

#[test]
fn every_key_of_endpoints_arrives() {
    let desired = said(EVERYTHING).expect("it is valid");
    let a = Endpoint {
        id: EndpointId { owner: EndpointOwner::Cli, id: "ns:a".into(), ifname: "eth1".into() },
        network: "web".into(),
        owner_network: None,
        netns: Some(TargetRef::Named("a".try_into().expect("a name"))),
        options: EndpointOptions {
            ip: Some("10.0.0.9".parse().expect("one")),
            ip6: Some("fd00:77::9".parse().expect("one")),
            announce: true,
            allow_spoof: true,
            source: Sources {
                v4: Some("192.0.2.7-192.0.2.9".parse().expect("a range")),
                v6: Some("2001:db8::7".parse().expect("one")),
            },
            mac: Some("02:00:00:00:00:01".parse().expect("one")),
            metric: Some(7),
            routes: vec!["10.9.0.0/16".parse().expect("a route")],
            limits: AskedLimits {
                outbound: Some(RateLimit { rate: 100_000_000, burst: 1_000_000 }),
                inbound: Some(RateLimit::of_rate(2_500_000_000)),
            },
            policy: Some(rules(&["allow-out 10.0.0.0/8:443/tcp", "allow-out any:53", "deny-in fd00::/8"])),
            attach: Some(Backend::Clsact),
            publish: ["8080:80", "53:5353/udp from 192.0.2.0/24"].map(|ports| ports.parse().expect("ports")).to_vec(),
            aliases: ["a.b", "www"].map(|name| name.parse().expect("a name")).to_vec(),
            ..EndpointOptions::default()
        },
    };
    assert_eq!(desired.endpoints[0], a);
    assert_eq!(desired.endpoints[1].netns, Some(TargetRef::Pid(7)));
    assert!(desired.endpoints[1].options.no_default_route);
    assert_eq!(desired.endpoints[2].netns, Some(TargetRef::Path("/run/netns/x".into())));
    assert_eq!(desired.endpoints[2].options.limits.outbound, Some(RateLimit::default()), "what is not said is none");
}

#[test]
fn mistakes_are_told_with_their_place() {
    refused("[networks.web]\nuplnk = \"eth0\"\n", "2:1", &["\"uplnk\"", "did you mean uplink?"]);
    refused("[netwroks.web]\n", "1:2", &["\"netwroks\"", "did you mean networks?"]);
    refused("[networks.web]\nxyzzy = 1\n", "2:1", &["\"xyzzy\"", "one of", "subnet"]);
    refused("[networks.web]\nmtu = \"big\"\n", "2:7", &["docs/config.md"]);
    refused("[networks.web]\nmtu = -1\n", "2:7", &["-1"]);
    refused("[networks.web\nmtu = 1\n", "1:14", &[]);
    refused("[networks.web]\n[networks.web]\n", "2:11", &["duplicate"]);
    refused("[networks.web]\nnat = \"cone\"\n", "2:7", &["cone", "symmetric"]);
    refused("[networks.web]\nsubnet = \"10.0.0.5/24\"\n", "2:10", &["10.0.0.5", "10.0.0.0/24"]);
    refused("[networks.web]\nsubnet = \"10.0.0.0/33\"\n", "2:10", &[]);
    refused("[networks.web]\nuplink = \"eth0\"\ninternal = true\n", "2:10", &["internal", "uplink"]);
    refused("[networks.\"a/b\"]\n", "1:11", &["/"]);
    refused("[networks.web]\nallow-networks = [\"webb\"]\n", "2:19", &["webb", "did you mean web?"]);
    refused("[table]\nnat-ports = \"7\"\n", "2:13", &["64 are needed", "1024-29999"]);
    refused("[table]\nmax-flows = 0\n", "2:13", &["16777216"]);
    refused("[table.timeouts]\nicmpp = \"90s\"\n", "2:1", &["icmpp", "did you mean icmp?"]);
    refused("[table.timeouts]\nicmp = \"8days\"\n", "2:8", &["7 days", "icmp = \"90s\""]);
    let endpoint = |keys: &str| format!("[[endpoints]]\nns = \"a\"\n{keys}\n");
    refused(&endpoint("network = \"web\""), "3:11", &["no file says network web", "[networks.web]"]);
    refused(&endpoint("pid = 7"), "1:1", &["one of ns, pid and netns"]);
    refused("[[endpoints]]\nifname = \"eth0\"\n", "1:1", &["no namespace", "ns = "]);
    refused("[[endpoints]]\nns = \"../x\"\n", "2:6", &["../x"]);
    refused(&endpoint("publish = [\"80\"]"), "3:11", &["port of the host"]);
    refused(&endpoint("rate-out = \"fast\""), "3:12", &["bits a second", "100M"]);
    refused(&endpoint("burst-in = \"1M\""), "3:12", &["rate"]);
    refused(&endpoint("rate-in = \"1M\"\nburst-in = \"much\""), "4:12", &["bytes"]);
    refused(&endpoint("mac = \"02:00\""), "3:7", &["six bytes"]);
    refused(&endpoint("metric = 1\nno-default-route = true"), "1:1", &["metric"]);
    refused(&endpoint("[[endpoints]]\nns = \"a\""), "3:1", &["eth0", "twice", "a.toml:1:1"]);
}

#[test]
fn several_files_are_one_whole() {
    let directory = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).expect("it is written");
    let path = |name: &str| directory.path().join(name).display().to_string();
    let all = || read(&[directory.path().to_owned()]).and_then(|sources| desired(&sources));
    let error = all().expect_err("there is none");
    assert!(error.kind == Kind::NotFound && error.remedy.is_some(), "{error}");
    write("10-net.toml", "[networks.web]\n");
    write("20-a.toml", "[[endpoints]]\nns = \"a\"\nnetwork = \"web\"\n");
    write("notes.txt", "no TOML");
    let found = all().expect("it is valid");
    assert_eq!((found.networks.len(), found.endpoints.len()), (1, 1));
    write("30-b.toml", "[networks.web]\nmtu = 1400\n");
    let error = all().expect_err("it is said twice");
    assert!(error.object.starts_with(&path("30-b.toml")), "{error}");
    assert!(error.why.contains(&format!("{}:1:11", path("10-net.toml"))), "{error}");
    write("30-b.toml", "[table]\nmax-flows = 1000\n");
    write("40-c.toml", "[table]\nmax-flows = 1000\n");
    assert!(all().expect_err("it is said twice").why.contains("30-b.toml"));
    let error = read(&[PathBuf::from(path("missing.toml"))]).expect_err("it is not there");
    assert!(error.kind == Kind::NotFound && error.remedy.is_some(), "{error}");
}

#[test]
fn example_of_the_readme_is_valid() {
    let readme = include_str!("../../../../README.md");
    let (_, rest) = readme.split_once("```toml\n").expect("there is an example");
    let (example, _) = rest.split_once("```").expect("it ends");
    let desired = said(example).unwrap_or_else(|error| panic!("{error}: {:?}", error.excerpt()));
    assert_eq!((desired.networks.len(), desired.endpoints.len()), (2, 2));
}

#[test]
fn what_two_endpoints_claim_is_refused_with_both_places() {
    let pair = |first: &str, second: &str| {
        let text = format!(
            "[networks.web]\n[[endpoints]]\nnetwork = \"web\"\n{first}\n[[endpoints]]\nnetwork = \"web\"\n{second}\n"
        );
        said(&text).expect_err("it is refused").to_string()
    };
    let claims = [
        (r#"ns = "a""#, r#"netns = "/run/netns/a""#, "namespace a"),
        (r#"ns = "a""#, r#"netns = "/var/run/netns/a""#, "namespace a"),
        ("ns = \"a\"\nip = \"10.0.0.2\"", "ns = \"b\"\nip = \"10.0.0.2\"", "address 10.0.0.2 of network web"),
        ("ns = \"a\"\npublish = [\"80:80\"]", "ns = \"b\"\npublish = [\"79-81:1-3\"]", "port 80:80"),
    ];
    for (first, second, what) in claims {
        let error = pair(first, second);
        assert!(error.contains(what) && error.contains("first at a.toml:2:1"), "{error}");
    }
}

#[test]
fn page_names_every_key() {
    let page = include_str!("../../../../docs/config.md");
    let schema: serde_json::Value = serde_json::from_str(&schema()).expect("it is JSON");
    for of in ["Table", "Network", "Endpoint"] {
        let keys = schema["$defs"][of]["properties"].as_object().expect("keys").keys();
        let missing: Vec<_> = keys.filter(|key| !page.contains(&format!("`{key}`"))).collect();
        assert!(missing.is_empty(), "docs/config.md does not name {missing:?} of {of}");
    }
}

#[test]
fn schema_knows_what_files_may_say() {
    let schema: serde_json::Value = serde_json::from_str(&schema()).expect("it is JSON");
    assert_eq!(schema["additionalProperties"], false);
    let network = &schema["$defs"]["Network"];
    assert_eq!(network["properties"]["nat"]["enum"], serde_json::json!(["symmetric", "eim", "eim-eif"]));
    for (name, what) in [("Network", "no-icc"), ("Endpoint", "rate-out"), ("Table", "nat-ports")] {
        let described = &schema["$defs"][name]["properties"][what]["description"];
        assert!(described.is_string(), "{name} {what}");
    }
}
