//! What fwd is compared with: bridge, veth and iptables MASQUERADE, set up by hand as tutorials do.

use std::time::Duration;

use forwarder::{
    Result,
    lab::{self, Lab},
    netns::{Name, Netns},
};

const PATIENCE: Duration = Duration::from_secs(10);

/// Sets it up on the host of `lab` and returns the namespace.
pub(crate) fn set_up(lab: &Lab) -> Result<Netns> {
    let name = lab.name("byhand");
    let inside = |command: &str| format!("ip -n {name} {command}");
    // The namespaces' names are the machine's; everything else happens in the host of the lab.
    for command in [
        format!("ip netns add {name}"),
        "ip link add br0 type bridge".into(),
        "ip addr add 10.77.0.1/24 dev br0".into(),
        "ip link set br0 up".into(),
        format!("ip link add veth0 type veth peer name eth0 netns {name}"),
        "ip link set veth0 master br0 up".into(),
        inside("link set lo up"),
        inside("addr add 10.77.0.2/24 dev eth0"),
        inside("link set eth0 up"),
        inside("route add default via 10.77.0.1"),
        "sysctl -qw net.ipv4.ip_forward=1".into(),
        "iptables -t nat -A POSTROUTING -s 10.77.0.0/24 -o eth0 -j MASQUERADE".into(),
    ] {
        let words: Vec<&str> = command.split(' ').collect();
        lab::run(lab::command_in(lab.host(), &words), PATIENCE)?.success()?;
    }
    Netns::open_named(&Name::try_from(name.as_str())?)
}
