//! What the kernel itself counts at host-side veths.

use fwd_base::{Context, Result};
use fwd_dataplane::Traffic;

/// What the kernel counted at a host-side veth of the calling thread's namespace: its rx is the namespace's tx. Zero if it is gone.
pub(super) fn interface_traffic(host_if: &str) -> Result<Traffic> {
    const PATH: &str = "/proc/thread-self/net/dev";
    let table = std::fs::read_to_string(PATH).doing("read", PATH)?;
    Ok(parse_traffic(&table, host_if).unwrap_or_default())
}

/// The line of `host_if` in /proc/net/dev (net/core/net-procfs.c): rx bytes and packets first, tx bytes and packets in columns 8 and
/// 9. The Ethernet headers are taken off.
fn parse_traffic(table: &str, host_if: &str) -> Option<Traffic> {
    const ETHERNET: u64 = 14;
    let line = table.lines().find_map(|line| line.split_once(':').filter(|(name, _)| name.trim() == host_if))?.1;
    let columns: Vec<u64> = line.split_whitespace().filter_map(|column| column.parse().ok()).collect();
    let ip_bytes = |bytes: u64, packets: u64| bytes.saturating_sub(packets.saturating_mul(ETHERNET));
    match columns[..] {
        [rx_bytes, rx_packets, _, _, _, _, _, _, tx_bytes, tx_packets, ..] => Some(Traffic {
            tx_packets: rx_packets,
            tx_bytes: ip_bytes(rx_bytes, rx_packets),
            rx_packets: tx_packets,
            rx_bytes: ip_bytes(tx_bytes, tx_packets),
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::parse_traffic;

    #[test]
    fn kernel_counters_are_turned_round_and_lose_their_ethernet_headers() {
        let table =
            "Inter-|   Receive  |  Transmit\n face |bytes packets\n  veth0: 1140 10 0 0 0 0 0 0 2280 20 0 0 0 0 0 0\n";
        let traffic = parse_traffic(table, "veth0").expect("the line is there");
        let all = (traffic.tx_packets, traffic.tx_bytes, traffic.rx_packets, traffic.rx_bytes);
        assert_eq!(all, (10, 1000, 20, 2000));
        assert!(parse_traffic(table, "veth").is_none());
    }
}
