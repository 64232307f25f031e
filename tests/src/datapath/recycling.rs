//! A tiny flow table under two CPUs: slots are recycled all the time, and no packet is delivered by another flow's entry.

use std::{net::SocketAddrV4, time::Duration};

use forwarder::{
    dataplane::{Contents, Sizes},
    netns::Netns,
    testbed::wait_until,
};
use forwarder_common::wire::l4::Proto;

use super::{
    fixture::{ADDRESS, Fixture, with_fixture},
    frame::Frame,
    pin_to,
};

const ROUNDS: u16 = 12_000;
/// Sockets of each thread: many more than there are slots.
const SOCKETS: u16 = 97;
const REDIRECT: i32 = 7;
const LIMIT: Duration = Duration::from_secs(30);
const SYN_ACK: u8 = 0x12;
const ACK: u8 = 0x10;
const RST: u8 = 0x04;
const RST_ACK: u8 = 0x14;

/// Sends from socket after socket, each to a port of its own, and looks who gets the replies. Returns how many were delivered.
fn converse(fixture: &Fixture, cpu: usize) -> u32 {
    pin_to(cpu);
    let first = 30_000 + 1_000 * u16::try_from(cpu).unwrap();
    let mut delivered = 0;
    for round in 0..ROUNDS {
        let socket = SocketAddrV4::new(ADDRESS, first + round % SOCKETS);
        let remote = SocketAddrV4::new(fixture.outside, socket.port() + 10_000);
        let out = fixture.run_from_ns(&Frame::new(Proto::Tcp, socket, remote).build());
        if out.verdict != REDIRECT {
            continue;
        }
        assert_eq!(out.packet[36..38], remote.port().to_be_bytes(), "the destination stays");
        let nat = SocketAddrV4::new(fixture.nat, u16::from_be_bytes([out.packet[34], out.packet[35]]));
        // Every other connection is refused, the rest is established and reset: slots move through all states.
        let flags = if round % 2 == 0 { SYN_ACK } else { RST_ACK };
        let back = fixture.run_from_uplink(&Frame::reply(Proto::Tcp, remote, nat).tcp_flags(flags).build());
        if back.verdict == REDIRECT {
            let to = u16::from_be_bytes([back.packet[36], back.packet[37]]);
            assert_eq!(
                (to, &back.packet[30..34]),
                (socket.port(), &ADDRESS.octets()[..]),
                "delivered to another socket"
            );
            delivered += 1;
        }
        if flags == SYN_ACK {
            let segment = |flags| fixture.run_from_ns(&Frame::new(Proto::Tcp, socket, remote).tcp_flags(flags).build());
            segment(ACK);
            if round % 4 == 0 {
                // A reset from outside that is not heeded, and a second one that is.
                fixture.run_from_uplink(&Frame::reply(Proto::Tcp, remote, nat).tcp_flags(RST).build());
                segment(ACK);
            }
            segment(RST_ACK);
        }
    }
    delivered
}

/// No slot was lost: as many flows as there are slots can be open at once.
#[track_caller]
fn assert_every_slot_serves(fixture: &Fixture, sizes: &Sizes) {
    let slots = sizes.max_flows + sizes.max_pending;
    for port in (50_000..).take(slots as usize) {
        let (inside, remote) = (SocketAddrV4::new(ADDRESS, port), SocketAddrV4::new(fixture.outside, 80));
        assert_eq!(fixture.run_from_ns(&Frame::new(Proto::Tcp, inside, remote).build()).verdict, REDIRECT);
    }
    assert_eq!(fixture.dataplane.flows().unwrap().len(), slots as usize);
}

#[test]
fn no_packet_is_delivered_by_another_flows_entry() {
    // Flows that are left over end soon: then every count must have come back to zero.
    let mut sizes = Sizes { max_flows: 16, max_pending: 16, ..Sizes::default() };
    for (_, seconds) in &mut sizes.timeouts {
        *seconds = 2;
    }
    with_fixture(&sizes, |fixture| {
        let host = &Netns::current().unwrap();
        let delivered: u32 = std::thread::scope(|scope| {
            let threads = [0, 1].map(|cpu| {
                scope.spawn(move || {
                    host.enter().unwrap();
                    converse(fixture, cpu)
                })
            });
            threads.map(|thread| thread.join().unwrap()).iter().sum()
        });
        println!("{delivered} of {} replies delivered", 2 * u32::from(ROUNDS));
        assert!(delivered > u32::from(ROUNDS), "only {delivered} replies delivered: the table did not work");
        let alloc = fixture.dataplane.alloc().unwrap();
        assert!(alloc.established <= sizes.max_flows, "{alloc:?}");
        let (_, endpoint) = fixture.dataplane.endpoints().unwrap()[0];
        let own = || fixture.dataplane.endpoint_flows(&endpoint);
        let done = || Ok(fixture.dataplane.flows()?.is_empty().then_some(()));
        wait_until(LIMIT, "the last flow ends", done).unwrap();
        assert_eq!(own().map(|flows| (flows.established, flows.pending)).unwrap(), (0, 0));
        let alloc = fixture.dataplane.alloc().unwrap();
        assert_eq!((alloc.established, alloc.host_flows), (0, 0));
        assert_eq!(fixture.dataplane.contents().unwrap(), Contents::default());
        assert_every_slot_serves(fixture, &sizes);
    });
}
