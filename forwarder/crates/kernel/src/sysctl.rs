//! Kernel parameters below /proc/sys/net, of the calling thread's network namespace.

use std::{fs, io, path::PathBuf};

use fwd_base::{Error, Kind, Result};

const ROOT: &str = "/proc/sys";

/// The value at `path` below /proc/sys, such as `net/ipv4/conf/eth0/forwarding`; `None` if there is no such parameter.
///
/// # Errors
/// It cannot be read.
pub fn read(path: &str) -> Result<Option<String>> {
    match fs::read_to_string(full(path)) {
        Ok(text) => Ok(Some(text.trim_end().to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", path, error)),
    }
}

/// Sets the value at `path` below /proc/sys.
///
/// # Errors
/// [`Kind::NotFound`] if there is no such parameter, [`Kind::Unsupported`] if /proc/sys may not be written.
pub fn write(path: &str, value: &str) -> Result<()> {
    // Never creates a file: /proc/sys has none to create.
    fs::write(full(path), value).map_err(|error| failed("set", path, error))
}

fn full(path: &str) -> PathBuf {
    PathBuf::from(ROOT).join(path)
}

fn failed(doing: &str, path: &str, error: io::Error) -> Error {
    let (kind, remedy) = match error.kind() {
        io::ErrorKind::NotFound => (Kind::NotFound, None),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            (Kind::Unsupported, Some("run it as root, where /proc/sys can be written (in a container: --privileged)"))
        }
        _ => (Kind::Failed, None),
    };
    let failure = Error::new(kind, doing, format!("sysctl {path}"), error.to_string());
    let failure = match remedy {
        Some(remedy) => failure.remedy(remedy),
        None => failure,
    };
    failure.caused_by(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_no_newline_and_what_is_absent_is_none() {
        let value = read("net/ipv4/conf/all/forwarding").expect("readable").expect("every kernel with IPv4 has it");
        assert!(value == "0" || value == "1", "{value:?}");
        assert_eq!(read("net/ipv4/conf/no-such-if/forwarding").expect("readable"), None);
        assert_eq!(write("net/ipv4/conf/no-such-if/forwarding", "1").expect_err("absent").kind, Kind::NotFound);
    }
}
