//! `fwd graph`: what is connected to what, whoever made it.

use serde_json::{Value, json};

use crate::fwd::{Fwd, inside};

/// A bridge of somebody else with a container, as docker makes it.
fn docker(fwd: &Fwd) {
    let container = fwd.name("container");
    let host = forwarder::netns::Netns::current().expect("open");
    inside(&host, &["ip", "netns", "add", &container]);
    for line in [
        "link add docker0 type bridge",
        "addr add 172.17.0.1/16 dev docker0",
        "link set docker0 up",
        &format!("link add veth7 type veth peer name eth0 netns {container}"),
        "link set veth7 master docker0 up",
    ] {
        fwd.on_host(&[&["ip"], &line.split(' ').collect::<Vec<_>>()[..]].concat());
    }
    inside(&host, &["ip", "-n", &container, "addr", "add", "172.17.0.2/16", "dev", "eth0"]);
}

fn named<'a>(list: &'a Value, key: &str, name: &str) -> &'a Value {
    list.as_array().and_then(|list| list.iter().find(|it| it[key] == name)).unwrap_or_else(|| panic!("{name}: {list}"))
}

#[test]
fn networks_of_fwd_and_of_others_are_drawn() {
    let fwd = Fwd::new();
    assert_eq!(fwd.json(&["graph", "json"])["bridges"], json!([]));
    docker(&fwd);
    let pod = fwd.up("c1", &["-p", "8080:80"]);
    fwd.up("c2", &["--network", "inner", "--internal"]);
    let shown = fwd.json(&["graph"]);
    let own = named(&shown["bridges"], "bridge", "fwd0");
    assert_eq!((&own["owner"], &own["leaves_by"]), (&json!("fwd"), &json!(["eth0", "docker0"])), "{shown:#}");
    let port = named(&own["ports"], "ns", &pod.name);
    assert_eq!((&port["host_if"], &port["published"]), (&json!(pod.host_if), &json!(["8080:80/tcp"])));
    assert!(port["addresses"].as_array().expect("a list").contains(&json!(format!("{}/24", pod.address))), "{port}");
    let docker0 = named(&shown["bridges"], "bridge", "docker0");
    assert_eq!((&docker0["owner"], &docker0["network"]), (&json!("other"), &Value::Null));
    assert_eq!(docker0["ports"][0]["ns"], json!(fwd.name("container")), "{docker0}");
    let inner =
        shown["bridges"].as_array().expect("a list").iter().find(|it| it["network"] == "inner").expect("it is up");
    assert_eq!(inner["leaves_by"], json!([]));
    assert_eq!(named(&shown["uplinks"], "uplink", "eth0")["guarded"], true);
    let text = fwd.ok(&["graph"]);
    let dot = fwd.ok(&["graph", "dot"]);
    let svg = fwd.ok(&["graph", "svg"]);
    for drawn in [&text, &dot, &svg] {
        for word in [&pod.name, &fwd.name("container"), "docker0", "172.17.0.2/16", "8080:80/tcp", "inner", "eth0"] {
            assert!(drawn.contains(word), "{word}: {drawn}");
        }
    }
    assert!(dot.starts_with("graph fwd {") && dot.trim_end().ends_with('}'), "{dot}");
    assert!(
        svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>") && svg.contains("prefers-color-scheme: dark"),
        "{svg}"
    );
    fwd.expect_error(&["graph", "png"], 2, &["png", "svg"]);
}
