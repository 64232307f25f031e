//! Flows beside the measured one, made by real packets.

use std::{
    net::{Ipv4Addr, SocketAddrV4, UdpSocket},
    thread,
    time::Duration,
};

use fwd_base::{Context as _, Result};
use fwd_kernel::netns::Netns;

/// Destinations: addresses that the internet routes nowhere, so that nobody answers (RFC 5737).
const NOWHERE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 192);
/// Ports of each address that are used.
const PORTS: std::ops::Range<u16> = 1_024..61_024;
/// So many datagrams are sent before the receiving side is let on.
const BATCH: usize = 256;

/// Sends a datagram for each flow from the namespace of the measured connection. Flows that nobody answered stay half-open.
pub(crate) fn make(client: &Netns, flows: usize) -> Result<()> {
    client.run(|| {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).doing("bind", "a socket")?;
        for (number, destination) in destinations().take(flows).enumerate() {
            socket.send_to(&[0], destination).doing("send to", destination.to_string())?;
            if number % BATCH == 0 {
                thread::sleep(Duration::from_micros(100));
            }
        }
        Ok(())
    })
}

/// A different one for each flow.
fn destinations() -> impl Iterator<Item = SocketAddrV4> {
    (0..u32::MAX)
        .flat_map(|host| PORTS.map(move |port| SocketAddrV4::new(Ipv4Addr::from_bits(NOWHERE.to_bits() + host), port)))
}
