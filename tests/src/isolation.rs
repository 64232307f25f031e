//! Isolation as users know it: what is in one namespace is not seen in another.

use std::net::TcpListener;

use super::fwd::{Fwd, Pod, pings};
use crate::peers::{any, listen};

/// How users look at a namespace, and what gives [`furnish`] away there.
const VIEWS: [(&str, &str); 9] = [
    ("ip -o link", "marker0"),
    ("ip -o address", "192.0.2.1/24"),
    ("ip route", "192.0.2.0/24"),
    ("ip neighbour", "192.0.2.9"),
    ("ss -Hltn", ":7777"),
    ("nft list ruleset", "table ip marker"),
    ("conntrack -L 2>/dev/null", "dst=192.0.2.1"),
    ("ls /sys/class/net", "marker0"),
    // Port 7777.
    ("cat /proc/net/dev /proc/net/route /proc/net/arp /proc/net/tcp", ":1E61"),
];

/// What the user sees with `fwd exec`.
#[track_caller]
fn seen(fwd: &Fwd, pod: &Pod, command: &str) -> String {
    fwd.ok(&["exec", "--ns", &pod.name, "--", "sh", "-c", command])
}

/// Gives a namespace one of each: interface, address, route, neighbour, socket, rules, tracked connection.
#[track_caller]
fn furnish(fwd: &Fwd, pod: &Pod) -> TcpListener {
    let commands = "set -e
        ip link add marker0 type veth peer name marker1
        ip address add 192.0.2.1/24 dev marker0
        ip link set marker0 up
        ip link set marker1 up
        ip neighbour add 192.0.2.9 lladdr 02:00:00:00:00:09 dev marker0
        nft 'table ip marker { chain input { type filter hook input priority 0; ct state new accept; }; }'
        ping -n -q -c 1 192.0.2.1";
    seen(fwd, pod, commands);
    listen(pod, any(7777))
}

#[test]
fn nothing_of_one_namespace_is_seen_in_another() {
    let fwd = Fwd::new();
    let (one, two) = (fwd.up("c1", &[]), fwd.up("c2", &[]));
    let _listener = furnish(&fwd, &one);
    for (command, sign) in VIEWS {
        let own = seen(&fwd, &one, command);
        assert!(own.contains(sign), "`{command}` shows no {sign} where it is:\n{own}");
        let other = seen(&fwd, &two, command);
        assert!(!other.contains(sign) && !other.contains("marker"), "`{command}` shows it elsewhere:\n{other}");
        let host = fwd.on_host(&["sh", "-c", &command.replace("ls /sys/class/net", "true")]);
        assert!(!host.contains(sign), "`{command}` shows it on the host:\n{host}");
    }
    assert!(pings(&one, two.address), "and yet they reach each other");
}

#[test]
fn fresh_namespace_has_only_loopback() {
    let fwd = Fwd::new();
    let name = fwd.name("fresh");
    fwd.ok(&["ns", "add", &name]);
    let look = |command: &str| fwd.ok(&["exec", "--ns", &name, "--", "sh", "-c", command]);
    assert_eq!(look("ls /sys/class/net"), "lo\n");
    assert_eq!(look("ip -br link | wc -l"), "1\n");
    assert_eq!(look("ip -br address"), "lo               DOWN           \n");
    for command in ["ip route", "ip neighbour", "ss -Hltun", "nft list ruleset"] {
        assert_eq!(look(command), "", "`{command}` shows something");
    }
    assert_eq!(fwd.on_host(&["ip", "netns", "list-id"]).matches(&name).count(), 0);
    fwd.ok(&["ns", "rm", &name]);
}

#[test]
fn connected_namespace_has_loopback_and_one_interface() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    assert_eq!(seen(&fwd, &pod, "ls /sys/class/net"), "eth0\nlo\n");
    let addresses = seen(&fwd, &pod, "ip -4 -br address");
    assert!(addresses.contains("127.0.0.1/8") && addresses.contains(&format!("{}/24", pod.address)), "{addresses}");
    let routes = seen(&fwd, &pod, "ip route");
    assert!(routes.contains(&format!("default via {} dev eth0", pod.gateway)), "{routes}");
    let neighbours = seen(&fwd, &pod, "ip neighbour show nud permanent");
    assert!(neighbours.contains(&pod.gateway.to_string()), "{neighbours}");
}

#[test]
fn servers_on_loopback_are_the_namespaces_own() {
    let fwd = Fwd::new();
    let (one, two) = (fwd.up("c1", &[]), fwd.up("c2", &[]));
    let local = crate::peers::at([127, 0, 0, 1].into(), 7777);
    let _listener = listen(&one, local);
    crate::peers::connect(&one, crate::peers::ANY, local).expect("it is there");
    crate::peers::connect(&two, crate::peers::ANY, local).expect_err("it is not here");
    // The same port is free elsewhere.
    let _other = listen(&two, local);
}
