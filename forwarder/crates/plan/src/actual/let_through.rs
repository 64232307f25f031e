//! The commands that let packets of a network through a chain of others.

use crate::shell::on_host;
use fwd_base::text::word;
use fwd_kernel::netlink::ForwardChain;

/// Packets that are to be let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Forwarded {
    /// From the network.
    Outbound,
    /// All that go to it.
    Inbound,
    /// Those that go to it as a reply, or to a published port.
    Invited,
}

/// The table of firewalld, which makes it anew when it is told to reload, and lets nobody else change it (version 2.1 and later).
const FIREWALLD: &str = "firewalld";

/// Command lines that let packets of a bridge through a chain, in a sentence. `host` is the name (or path) of the namespace that plays the
/// host, where it is not the caller's.
pub(super) fn let_through(chain: &ForwardChain, bridge: &str, packets: &[Forwarded], host: Option<&str>) -> String {
    let lines = if chain.table == FIREWALLD {
        // It may be in the zone of those that are in no other.
        let moved = format!("--zone=trusted --change-interface={}", word(bridge));
        vec![format!("firewall-cmd {moved}"), format!("firewall-cmd --permanent {moved}")]
    } else {
        packets.iter().flat_map(|packets| accepting(chain, bridge, *packets)).collect()
    };
    let shown = lines.into_iter().map(|line| host.map_or(line.clone(), |host| on_host(line, host)));
    shown.map(|line| format!("`{line}`")).collect::<Vec<_>>().join(" and ")
}

/// A line for each rule that it takes.
fn accepting(chain: &ForwardChain, bridge: &str, packets: Forwarded) -> Vec<String> {
    let ForwardChain { family, table, name, .. } = chain;
    let Some(tool) = chain.iptables() else {
        let bridge = word(&format!("\"{bridge}\""));
        let rules = match packets {
            Forwarded::Outbound => vec![format!("iifname {bridge}")],
            Forwarded::Inbound => vec![format!("oifname {bridge}")],
            Forwarded::Invited => {
                ["state established,related", "status dnat"].map(|ct| format!("oifname {bridge} ct {ct}")).into()
            }
        };
        let insert = |rule| format!("nft insert rule {family} {} {} {rule} accept", word(table), word(name));
        return rules.into_iter().map(insert).collect();
    };
    let bridge = word(bridge);
    let rule = match packets {
        Forwarded::Outbound => format!("-i {bridge}"),
        Forwarded::Inbound => format!("-o {bridge}"),
        Forwarded::Invited => format!("-o {bridge} -m conntrack --ctstate ESTABLISHED,RELATED,DNAT"),
    };
    vec![format!("{tool} -I FORWARD {rule} -j ACCEPT")]
}
