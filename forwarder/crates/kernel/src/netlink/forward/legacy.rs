//! The chains FORWARD and INPUT of the former iptables, read by its socket options (include/uapi/linux/netfilter_ipv4/ip_tables.h).

use std::{
    collections::BTreeMap,
    fs, io,
    os::fd::{AsRawFd, OwnedFd},
};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use super::{Effect, ForwardChain, Hook, Maker, Pattern, Rule};
use fwd_base::{Context as _, Result};

/// Its tables in this namespace: asking for one that is not there would make it.
const TABLES: &str = "/proc/thread-self/net/ip_tables_names";
const TABLE: &[u8] = b"filter";
/// `IPT_SO_GET_INFO` and `IPT_SO_GET_ENTRIES`.
const GET_INFO: libc::c_int = 64;
const GET_ENTRIES: libc::c_int = 65;
/// Length of `struct ipt_getinfo`, and where it has the beginnings and ends of chains and the size of all entries.
const INFO_LEN: usize = 84;
const INFO_BEGINNINGS: usize = 36;
const INFO_ENDS: usize = 56;
const INFO_SIZE: usize = 80;
/// Length of a table's name, after which `struct ipt_get_entries` has the size.
const NAME_OF_TABLE: usize = 32;
/// Where the entries begin in `struct ipt_get_entries`.
const ENTRIES: usize = 40;
/// More than this nobody has.
const MOST_BYTES: usize = 64 << 20;
// `struct ipt_entry`: names of interfaces with their masks, protocol, inverted flags, and where the target stands.
const IN_NAME: usize = 16;
const OUT_NAME: usize = 32;
const IN_MASK: usize = 48;
const OUT_MASK: usize = 64;
const INVERTED: usize = 83;
const TARGET_AT: usize = 88;
const NEXT_AT: usize = 90;
/// Length of `struct ipt_entry`: without matches the target stands here.
const ENTRY_LEN: usize = 112;
/// Length of `struct xt_entry_target`, after which the standard target has its verdict.
const TARGET_LEN: usize = 32;
const NAME_LEN: usize = 16;
// Verdicts of the standard target: -NF_x - 1.
const ACCEPT: i32 = -2;
const DROP: i32 = -1;

/// The chain, where there is one.
///
/// # Errors
/// The tables cannot be listed.
pub(super) fn chain(hook: &Hook) -> Result<Option<ForwardChain>> {
    let tables = match fs::read(TABLES) {
        // A kernel without them has no such file.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        tables => tables.doing("read", TABLES)?,
    };
    if !tables.split(|byte| *byte == b'\n').any(|table| table == TABLE) {
        return Ok(None);
    }
    let chain = ForwardChain {
        maker: Maker::Legacy,
        family: "ip".into(),
        table: "filter".into(),
        name: hook.name.into(),
        drops: false,
        rules: None,
        others: BTreeMap::new(),
    };
    Ok(Some(match read() {
        Ok((info, entries)) => match rules(hook, &info, &entries) {
            Some((drops, rules)) => ForwardChain { drops, rules: Some(rules), ..chain },
            None => chain,
        },
        Err(error) => {
            tracing::debug!("the tables of iptables-legacy cannot be read: {error}");
            chain
        }
    }))
}

/// What the kernel says of the table, and its entries.
fn read() -> io::Result<(Vec<u8>, Vec<u8>)> {
    // Any IPv4 socket will do.
    let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    let mut info = vec![0; INFO_LEN];
    info[..TABLE.len()].copy_from_slice(TABLE);
    option(&socket, GET_INFO, &mut info)?;
    let size = number(&info, INFO_SIZE).map_or(0, |size| size as usize);
    if size > MOST_BYTES {
        return Err(io::Error::from_raw_os_error(libc::EFBIG));
    }
    let mut entries = vec![0; ENTRIES + size];
    entries[..TABLE.len()].copy_from_slice(TABLE);
    entries[NAME_OF_TABLE..NAME_OF_TABLE + 4].copy_from_slice(&info[INFO_SIZE..INFO_SIZE + 4]);
    option(&socket, GET_ENTRIES, &mut entries)?;
    Ok((info, entries.split_off(ENTRIES)))
}

/// A socket option of iptables: the buffer has the question, and then the answer.
fn option(socket: &OwnedFd, name: libc::c_int, buffer: &mut [u8]) -> io::Result<()> {
    let mut length = libc::socklen_t::try_from(buffer.len()).map_err(io::Error::other)?;
    // SAFETY: the kernel reads from and writes to `buffer` at most `length` bytes, which it has, and writes the length; both are
    // borrowed or on this stack frame until the call returns.
    let result = unsafe {
        libc::getsockopt(socket.as_raw_fd(), libc::IPPROTO_IP, name, buffer.as_mut_ptr().cast(), &raw mut length)
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Whether the policy drops, and the rules of the chain before it. None if the bytes are no table.
fn rules(hook: &Hook, info: &[u8], entries: &[u8]) -> Option<(bool, Vec<Rule>)> {
    let place = 4 * usize::from(hook.number);
    let (mut at, end) = (number(info, INFO_BEGINNINGS + place)?, number(info, INFO_ENDS + place)?);
    let mut rules = Vec::new();
    while at < end {
        let entry = entries.get(at as usize..)?;
        rules.push(rule(entry)?);
        let length = short(entry, NEXT_AT).filter(|length| usize::from(*length) >= ENTRY_LEN)?;
        at = at.checked_add(u32::from(length))?;
    }
    let policy = rule(entries.get(end as usize..)?)?;
    Some((policy.effect == Effect::Drop, rules))
}

fn rule(entry: &[u8]) -> Option<Rule> {
    let inverted = *entry.get(INVERTED)?;
    let target = usize::from(short(entry, TARGET_AT)?);
    // A name in front of the verdict is that of another target.
    let is_standard = entry.get(target + 2) == Some(&0);
    let verdict = number(entry, target + TARGET_LEN).map(u32::cast_signed);
    let reject = entry.get(target + 2..)?.starts_with(b"REJECT\0");
    let effect = match verdict {
        _ if reject => Effect::Drop,
        Some(ACCEPT) if is_standard => Effect::Accept,
        Some(DROP) if is_standard => Effect::Drop,
        _ => Effect::Other,
    };
    let asks_for_packets = entry.get(..IN_NAME)?.iter().any(|byte| *byte != 0) || short(entry, 80)? != 0;
    let more = target != ENTRY_LEN || inverted != 0 || asks_for_packets || entry.get(82) != Some(&0);
    let (from, to) = (pattern(entry, IN_NAME, IN_MASK)?, pattern(entry, OUT_NAME, OUT_MASK)?);
    Some(Rule { from, to, more, status: false, effect })
}

/// A name and how much of it counts: with its NUL all of it.
fn pattern(entry: &[u8], name: usize, mask: usize) -> Option<Option<Pattern>> {
    let compared = entry.get(mask..mask + NAME_LEN)?.iter().take_while(|byte| **byte != 0).count();
    let name = entry.get(name..name + compared)?;
    let end = name.iter().position(|byte| *byte == 0);
    let text = std::str::from_utf8(&name[..end.unwrap_or(compared)]).ok();
    Some(match (compared, text) {
        (0, _) => None,
        (_, None) => Some(Pattern::Unknown),
        (_, Some(text)) if end.is_some() => Some(Pattern::Name(text.into())),
        (_, Some(text)) => Some(Pattern::Prefix(text.into())),
    })
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at.checked_add(4)?)?.try_into().ok().map(u32::from_ne_bytes)
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at.checked_add(2)?)?.try_into().ok().map(u16::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_taken(
            info in proptest::collection::vec(any::<u8>(), INFO_LEN),
            first in 0_u32..300,
            last in 0_u32..900,
            entries in proptest::collection::vec(any::<u8>(), 0..900),
        ) {
            let mut info = info;
            info[INFO_BEGINNINGS + 8..INFO_BEGINNINGS + 12].copy_from_slice(&first.to_ne_bytes());
            info[INFO_ENDS + 8..INFO_ENDS + 12].copy_from_slice(&last.to_ne_bytes());
            drop(rules(&super::super::FORWARD, &info, &entries));
        }
    }
}
