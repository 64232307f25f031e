//! A host far away: behind the internet of a testbed, at a distance in time.
//!
//! This is no `netem`, which needs a kernel module: two TUN devices, between which threads of this process carry each packet
//! and hold it for as long as the way takes. Good for some ten thousand packets a second; order is kept, nothing is lost.

use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    net::{IpAddr, Ipv4Addr},
    os::fd::AsFd as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use ipnet::{IpNet, Ipv4Net};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{Namespace, Testbed, tun};
use fwd_base::{Context as _, Error, Kind, Result};
use fwd_kernel::netns::Netns;

/// The address of the far host, of the block for benchmarks (RFC 2544).
const ADDRESS: Ipv4Addr = Ipv4Addr::new(198, 18, 64, 1);
/// The device at both ends of the way.
const DEVICE: &str = "far0";
/// How long a thread may go on after the end.
const LAST_LOOK: u16 = 100;
/// Longest packet, bytes.
const LONGEST: usize = 65_536;

/// A far host of a testbed. It goes with its owner.
pub struct Delay {
    /// The far host.
    pub host: Namespace,
    /// Its address, to which packets leave by `eth0`.
    pub address: Ipv4Addr,
    ended: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

/// A packet on its way, and when it arrives.
type Travelling = (Instant, Vec<u8>);

impl Delay {
    /// Puts a host behind the internet of `eth0`, `one_way` from it.
    ///
    /// # Errors
    /// It is there already, or the kernel has no TUN devices.
    pub fn start(testbed: &Testbed, one_way: Duration) -> Result<Self> {
        let host = Namespace::create(&testbed.name("far"))?;
        let internet = testbed.internet(0);
        let near = tun::create(internet, DEVICE)?;
        let far = tun::create(&host, DEVICE)?;
        let link = Ipv4Net::new(testbed.uplink(0).address, 24).doing("use", "the link of the uplink")?.trunc();
        connect(internet, None, Ipv4Net::from(ADDRESS))?;
        connect(&host, Some(ADDRESS), link)?;
        internet.run(|| {
            let path = "/proc/sys/net/ipv4/ip_forward";
            fs::write(path, "1").doing("write", path)
        })?;
        let ended = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        for (from, to) in [(&near, &far), (&far, &near)] {
            let (from, to) = (from.try_clone(), to.try_clone());
            let (from, to) = (from.doing("use", DEVICE)?, to.doing("use", DEVICE)?);
            let (sender, receiver) = channel();
            threads.push(thread::spawn({
                let ended = Arc::clone(&ended);
                move || depart(from, one_way, &sender, &ended)
            }));
            threads.push(thread::spawn(move || arrive(to, &receiver)));
        }
        Ok(Self { host, address: ADDRESS, ended, threads })
    }
}

impl Drop for Delay {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::warn!("a thread that carries packets panicked");
            }
        }
    }
}

/// Sets the device up, with an address and the way to what is at the other end.
fn connect(ns: &Netns, address: Option<Ipv4Addr>, other: Ipv4Net) -> Result<()> {
    let netlink = fwd_kernel::netlink::Netlink::open(ns)?;
    let Some(link) = netlink.link(DEVICE)? else {
        return Err(Error::new(Kind::NotFound, "find", DEVICE, "the kernel did not make it"));
    };
    netlink.set_up(link.index)?;
    if let Some(address) = address {
        netlink.add_address(link.index, IpNet::from(IpAddr::from(address)))?;
    }
    netlink.add_route(other, link.index, None)
}

/// Notes when each packet will arrive, until the end.
fn depart(mut device: File, one_way: Duration, packets: &Sender<Travelling>, ended: &AtomicBool) {
    let mut packet = vec![0; LONGEST];
    while !ended.load(Ordering::Relaxed) {
        let mut ready = [PollFd::new(device.as_fd(), PollFlags::POLLIN)];
        match poll(&mut ready, PollTimeout::from(LAST_LOOK)) {
            Ok(0) | Err(nix::errno::Errno::EINTR) => continue,
            Ok(_) => {}
            Err(error) => return tracing::warn!("the way to the far host is closed: {error}"),
        }
        match device.read(&mut packet) {
            Ok(length) => {
                let arrival = Instant::now() + one_way;
                if packets.send((arrival, packet[..length].to_vec())).is_err() {
                    return;
                }
            }
            Err(error) => return tracing::warn!("the way to the far host is closed: {error}"),
        }
    }
}

/// Delivers each packet when its time has come.
fn arrive(mut device: File, packets: &Receiver<Travelling>) {
    while let Ok((arrival, packet)) = packets.recv() {
        thread::sleep(arrival.saturating_duration_since(Instant::now()));
        if let Err(error) = device.write_all(&packet) {
            tracing::debug!("a packet is lost on the way to the far host: {error}");
        }
    }
}
