//! A changed sysctl.

use std::fmt;

use super::{Acts, Handling, Managed};
use crate::{Actual, SysctlRecord};

impl Managed for SysctlRecord {
    fn handling(&self) -> Handling {
        Handling::new("set", "restore", Acts::OnHost)
    }

    fn is_there(&self, actual: &Actual) -> bool {
        actual.host.sysctls.get(&self.path) == Some(&self.ours)
    }

    fn equivalent(&self, make: bool, _: &str) -> Vec<String> {
        vec![format!("sysctl -w {}={}", key(&self.path), if make { &self.ours } else { &self.original })]
    }
}

impl fmt::Display for SysctlRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path)
    }
}

/// The name that sysctl(8) has for a path: dots for slashes, and slashes for the dots of interface names.
pub(super) fn key(path: &str) -> String {
    let swap = |c| match c {
        '/' => '.',
        '.' => '/',
        other => other,
    };
    path.chars().map(swap).collect()
}

#[cfg(test)]
mod tests {
    use super::key;

    #[test]
    fn sysctls_are_named_as_sysctl_does() {
        assert_eq!(key("net/ipv4/conf/eth0.7/forwarding"), "net.ipv4.conf.eth0/7.forwarding");
    }
}
