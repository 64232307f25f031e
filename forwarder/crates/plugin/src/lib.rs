//! What the ways in which container runtimes call `fwd` have in common: one document as the answer, whatever happens; the host that is called
//! about; attaching and detaching containers that their runtimes may have forgotten, or started anew.

mod answer;
mod host;
pub mod json;
pub mod program;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub use self::{
    answer::{Answer, Panic, Streams, answer},
    host::{Host, Settings},
};

/// Addresses of an endpoint, by family. The same one may be said twice: podman does so where it attaches anew.
///
/// # Errors
/// A second one of a family.
pub fn by_family(addresses: &[IpAddr]) -> Result<(Option<Ipv4Addr>, Option<Ipv6Addr>), IpAddr> {
    let (mut ip, mut ip6) = (None, None);
    for address in addresses {
        let another = match address {
            IpAddr::V4(address) => ip.replace(*address).is_some_and(|former| former != *address),
            IpAddr::V6(address) => ip6.replace(*address).is_some_and(|former| former != *address),
        };
        if another {
            return Err(*address);
        }
    }
    Ok((ip, ip6))
}

/// Whether something is on, by the words of Go's strconv.ParseBool; none for any other.
#[must_use]
pub fn is_on(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// A word of several; none where nothing is said, or `auto`.
///
/// # Errors
/// The words that there are.
pub fn one_of<T: Copy, const N: usize>(
    text: Option<&str>,
    all: &[T; N],
    name: fn(T) -> &'static str,
) -> Result<Option<T>, String> {
    let Some(text) = text.filter(|text| !text.is_empty() && *text != "auto") else { return Ok(None) };
    let found = all.iter().copied().find(|it| name(*it) == text);
    let names = || all.iter().map(|it| name(*it)).collect::<Vec<_>>().join(", ");
    found.map(Some).ok_or_else(|| format!("it is none of auto, {}", names()))
}
