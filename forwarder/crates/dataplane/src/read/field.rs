//! Fields of records: names, and addresses of both families.

use std::net::IpAddr;

use forwarder_common::abi::{Addr, mapped};

use fwd_base::{Error, Kind, Result};

/// A text padded with NUL to the length of a record's field.
///
/// # Errors
/// [`Kind::Usage`] if it is too long: the last byte stays NUL.
pub fn name<const N: usize>(text: &str) -> Result<[u8; N]> {
    let mut field = [0; N];
    match field.get_mut(..text.len()) {
        Some(start) if text.len() < N => {
            start.copy_from_slice(text.as_bytes());
            Ok(field)
        }
        _ => Err(Error::new(Kind::Usage, "use the name", text, format!("it is longer than {} bytes", N - 1))),
    }
}

/// The text in a field that is padded with NUL.
#[must_use]
pub fn name_of(field: &[u8]) -> String {
    let end = field.iter().position(|&byte| byte == 0).unwrap_or(field.len());
    String::from_utf8_lossy(&field[..end]).into_owned()
}

/// An address of either family as a record holds it.
#[must_use]
pub fn address(addr: IpAddr) -> Addr {
    match addr {
        IpAddr::V4(v4) => mapped(v4.octets()),
        IpAddr::V6(v6) => v6.octets(),
    }
}
