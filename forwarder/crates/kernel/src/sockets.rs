//! Sockets of the calling thread's namespace to which anybody may write, by /proc: asking by netlink (`sock_diag`) may load modules.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, ErrorKind},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket},
};

use fwd_base::{Context as _, Result};

use crate::netns::Process;

/// A socket to which anybody may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenSocket {
    /// Address that it is bound to; unspecified for all of the family.
    pub address: IpAddr,
    /// Port.
    pub port: u16,
    /// Its inode: how processes have it.
    pub inode: u64,
}

/// `TCP_LISTEN` (include/net/tcp_states.h), as /proc/net/tcp has it.
const LISTEN: &str = "0A";

/// Sockets of TCP that take connections; one that does so over both families is there for each.
///
/// # Errors
/// /proc cannot be read.
pub fn listeners() -> Result<Vec<OpenSocket>> {
    let of = |name| table(name, |state, _| state == LISTEN);
    Ok(of_both(of("tcp")?, of("tcp6")?, |socket| TcpListener::bind(socket).err()))
}

/// Sockets of UDP that take datagrams from anybody; as [`listeners`].
///
/// # Errors
/// /proc cannot be read.
pub fn open_udp() -> Result<Vec<OpenSocket>> {
    let is_open = |_: &str, remote: &str| remote.bytes().all(|byte| matches!(byte, b'0' | b':'));
    Ok(of_both(table("udp", is_open)?, table("udp6", is_open)?, |socket| UdpSocket::bind(socket).err()))
}

/// Sockets of IPv4, and of IPv6, which may take IPv4 as well: their table does not tell, but then a socket of IPv4 cannot have the port.
fn of_both(
    mut sockets: Vec<OpenSocket>,
    of_ipv6: Vec<OpenSocket>,
    refused: impl Fn(SocketAddr) -> Option<std::io::Error>,
) -> Vec<OpenSocket> {
    let is_taken = |it: &OpenSocket| {
        refused(SocketAddr::new(it.address, it.port)).is_some_and(|error| error.kind() == ErrorKind::AddrInUse)
    };
    let over_ipv4 = |it: &OpenSocket| {
        let address = if it.address.is_unspecified() { Ipv4Addr::UNSPECIFIED.into() } else { it.address };
        OpenSocket { address, ..*it }
    };
    sockets.extend(of_ipv6.iter().map(over_ipv4).filter(|it| it.address.is_ipv4() && is_taken(it)));
    sockets.extend(of_ipv6.into_iter().filter(|it| it.address.is_ipv6()));
    sockets
}

/// A process that has the socket with this inode, if one can be found.
#[must_use]
pub fn owner(inode: u64) -> Option<Process> {
    let link = format!("socket:[{inode}]");
    let pids = fs::read_dir("/proc").ok()?.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let has = |pid: &u32| {
        let mut files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        files.any(|file| fs::read_link(file.path()).is_ok_and(|to| to.as_os_str() == link.as_str()))
    };
    pids.into_iter().find(has).map(Process::of)
}

/// The sockets of a table that `is_open` says of their state and remote end. A listener comes before all connections
/// (net/ipv4/tcp_ipv4.c, `tcp_get_idx`).
fn table(name: &str, is_open: impl Fn(&str, &str) -> bool) -> Result<Vec<OpenSocket>> {
    let path = format!("/proc/thread-self/net/{name}");
    let file = match File::open(&path) {
        // Without IPv6.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        file => file.doing("read", &*path)?,
    };
    let mut sockets = Vec::new();
    for line in BufReader::new(file).lines().skip(1) {
        let line = line.doing("read", &*path)?;
        if name.starts_with("tcp") && line.split_whitespace().nth(3) != Some(LISTEN) {
            break;
        }
        sockets.extend(socket(&line, &is_open));
    }
    Ok(sockets)
}

/// A line of such a table: `sl local_address rem_address st … inode`.
fn socket(line: &str, is_open: impl Fn(&str, &str) -> bool) -> Option<OpenSocket> {
    let columns: Vec<&str> = line.split_whitespace().collect();
    let (local, remote, state, inode) = (columns.get(1)?, columns.get(2)?, columns.get(3)?, columns.get(9)?);
    if !is_open(state, remote) {
        return None;
    }
    let (address, port) = local.split_once(':')?;
    Some(OpenSocket {
        address: self::address(address)?,
        port: u16::from_str_radix(port, 16).ok()?,
        inode: inode.parse().ok()?,
    })
}

/// An address of either family as words of memory in hexadecimal; one of IPv6 may stand for one of IPv4.
fn address(words: &str) -> Option<IpAddr> {
    let word = |at: usize| u32::from_str_radix(words.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    match words.len() {
        8 => word(0).map(|octets| Ipv4Addr::from(octets).into()),
        32 => {
            let octets = [word(0)?, word(8)?, word(16)?, word(24)?].concat();
            Some(Ipv6Addr::from(<[u8; 16]>::try_from(octets).ok()?).to_canonical())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listener_is_read_from_its_line() {
        let line = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1";
        let found = socket(line, |state, _| state == LISTEN).expect("a listener");
        assert_eq!(found, OpenSocket { address: Ipv4Addr::LOCALHOST.into(), port: 8080, inode: 4711 });
        assert_eq!(socket(line, |state, _| state == "01"), None);
        assert_eq!(socket("", |_, _| true), None);
    }

    #[test]
    fn address_of_ipv6_counts_for_ipv4_where_it_takes_that() {
        let all = "00000000000000000000000000000000";
        assert_eq!(address(all), Some(Ipv6Addr::UNSPECIFIED.into()));
        assert_eq!(address("0000000000000000FFFF00000100007F"), Some(Ipv4Addr::LOCALHOST.into()));
        assert_eq!(address("00000000000000000000000001000000"), Some(Ipv6Addr::LOCALHOST.into()));
        let at = |address: &str, port| OpenSocket { address: address.parse().expect("an address"), port, inode: 1 };
        let taken = |socket: SocketAddr| (socket.port() == 80).then(|| ErrorKind::AddrInUse.into());
        let of_ipv6 = vec![at("::", 80), at("::", 81), at("::1", 80), at("127.0.0.1", 80)];
        let found = of_both(vec![at("10.0.0.1", 22)], of_ipv6, taken);
        let expected = [("10.0.0.1", 22), ("0.0.0.0", 80), ("127.0.0.1", 80), ("::", 80), ("::", 81), ("::1", 80)];
        assert_eq!(found, expected.map(|(address, port)| at(address, port)));
    }
}
