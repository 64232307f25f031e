//! The black-box suite again, over XDP: the same tests, on hosts where every `up` takes `--datapath xdp`; and what is XDP's own.

mod attaching;

#[path = "../address_only.rs"]
mod address_only;
#[path = "../changes.rs"]
mod changes;
#[path = "../fast_path.rs"]
mod fast_path;
#[path = "../flows.rs"]
mod flows;
#[path = "../fragments.rs"]
mod fragments;
#[path = "../icmp.rs"]
mod icmp;
#[path = "../isolation.rs"]
mod isolation;
#[path = "../nat.rs"]
mod nat;
#[path = "../pressure.rs"]
mod pressure;
#[path = "../published.rs"]
mod published;
#[path = "../punts.rs"]
mod punts;
#[path = "../stun.rs"]
mod stun;
#[path = "../traffic.rs"]
mod traffic;
#[path = "../wire.rs"]
mod wire;

/// What the tests take for `fwd`.
pub(crate) mod fwd {
    use std::ops::Deref;

    use forwarder::testbed::TestbedSpec;

    pub(crate) use crate::fwd::*;

    /// A sandboxed host where every `up` takes XDP.
    pub(crate) struct Fwd(crate::fwd::Fwd);

    impl Fwd {
        pub(crate) fn new() -> Self {
            Self::with(&TestbedSpec::default())
        }

        pub(crate) fn with(spec: &TestbedSpec) -> Self {
            Self(crate::fwd::Fwd::with_xdp(spec))
        }
    }

    impl Deref for Fwd {
        type Target = crate::fwd::Fwd;

        fn deref(&self) -> &crate::fwd::Fwd {
            &self.0
        }
    }
}
