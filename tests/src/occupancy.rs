//! How full the flow table and the range of ports are, as users see it.

use serde_json::{Value, json};

use crate::{
    fwd::{Fwd, number},
    peers::{ANY, any, asked, at, connect, echo_udp, listen, udp},
};

fn searches(shown: &Value, most: u64) -> u64 {
    let classes = shown["port_retries"].as_array().expect("classes").iter();
    classes.filter(|class| number(&class["most"]) <= most).map(|class| number(&class["searches"])).sum()
}

#[test]
fn flows_ports_and_retries_are_counted() {
    const CONNECTIONS: u64 = 20;
    let fwd = Fwd::new();
    let (one, two) = (fwd.up("c1", &["--max-flows-per-ns", "1000"]), fwd.up("c2", &[]));
    let server = at(fwd.uplink(0).outside[0], 9000);
    let listener = listen(fwd.internet(0), server);
    let open = |_| (connect(&one, ANY, server).expect("it connects"), listener.accept().expect("a client comes"));
    let connections: Vec<_> = (0..CONNECTIONS).map(open).collect();
    let dns = at(fwd.uplink(0).outside[1], 53);
    let replies = echo_udp(udp(fwd.internet(0), dns), 2);
    // The same port in both namespaces: the second has to take another.
    for pod in [&one, &two] {
        asked(&udp(pod, any(5000)), dns, b"question");
    }
    replies.join().expect("the server");
    let shown = fwd.json(&["stats", "--nat"]);
    // A question and its answer are no conversation yet.
    assert_eq!(number(&shown["flows"]["established"]), CONNECTIONS, "{shown}");
    let address = fwd.uplink(0).address.to_string();
    let fullest =
        json!({ "address": address, "proto": "tcp", "dst_addr": server.ip(), "dst_port": 9000, "taken": CONNECTIONS });
    assert_eq!(shown["ports"][0], fullest);
    assert_eq!((number(&shown["ports"][1]["taken"]), &shown["ports"][1]["proto"]), (2, &json!("udp")));
    let all = searches(&shown, u64::MAX);
    assert!(all >= CONNECTIONS + 2 && searches(&shown, 0) < all, "one had to be tried again: {shown}");
    assert_eq!(number(&shown["ports_exhausted"]), 0);
    let listed = fwd.list(&["ls"]);
    let flows = |index: usize, key: &str| number(&listed[index]["flows"][key]);
    assert_eq!((flows(0, "established"), flows(0, "limit")), (CONNECTIONS, 1000));
    assert_eq!((flows(1, "established"), flows(1, "half_open")), (0, 1));
    let text = fwd.ok(&["ls"]);
    assert!(text.contains("20 of 65536 flows (2 new, 0 closing), "), "{text}");
    let text = fwd.ok(&["stats", "--nat"]);
    assert!(text.contains("198.51.100.2") && text.contains("0.1 %"), "{text}");
    assert!(text.contains("searches for a port:") && text.contains("idle times"), "{text}");
    // Without pending flows nothing is looked for in the table, and the numbers are the same.
    let before = fwd.list(&["ls"]);
    fwd.down("c2");
    let established = |listed: &[Value]| number(&listed[0]["flows"]["established"]);
    assert_eq!(established(&fwd.list(&["ls"])), established(&before));
    let inspected = fwd.json(&["inspect", "--ns", &one.name]);
    assert_eq!(inspected["flows"], before[0]["flows"]);
    drop(connections);
}

#[test]
fn nothing_up_has_no_flow_table() {
    Fwd::new().expect_error(&["stats", "--nat"], 3, &["flow table", " up --ns NAME"]);
}
