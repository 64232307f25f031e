//! How the kernel is asked, one function a kind of question.

use std::{fs, io, os::fd::AsFd as _};

use aya::{
    maps::MapType,
    programs::ProgramType,
    sys::{BpfHelper, is_helper_supported, is_map_supported},
};

use super::{
    feature::Support,
    program::{self, SOCK_ADDR, XDP},
};
use crate::{
    Backend,
    attach::netkit::PEER,
    bpf::{self, SCHED_CLS},
    load::errno::errno,
    object::kernel_fields,
};
use fwd_base::{Error, Kind, Result, error::chain};
use fwd_kernel::{
    netlink::{self, BridgeSpec, Netlink, PairKind, PairSpec, Shaper, nft},
    netns::{Netns, in_scratch},
};

/// `ENOTSUPP`, which is for the kernel's own use and comes out of bpf(2) all the same.
const ENOTSUPP: i32 = 524;
/// One of `enum bpf_attach_type` (include/uapi/linux/bpf.h).
const BPF_XDP: u32 = 37;

impl From<Result<bool>> for Support {
    fn from(answer: Result<bool>) -> Self {
        match answer {
            Ok(true) => Self::Supported,
            Ok(false) => Self::Unsupported,
            Err(error) => Self::Unknown(chain(&error)),
        }
    }
}

impl Support {
    /// What it says that bpf(2) did or refused.
    fn of<T>(answer: io::Result<T>) -> Self {
        match answer {
            Ok(_) => Self::Supported,
            Err(error) => match error.raw_os_error() {
                Some(libc::EINVAL | libc::EACCES | libc::E2BIG | libc::EOPNOTSUPP | ENOTSUPP) => Self::Unsupported,
                _ => Self::Unknown(error.to_string()),
            },
        }
    }

    /// What it says that an object of the network was made or refused.
    fn made(answer: Result<()>) -> Self {
        match answer {
            Ok(()) => Self::Supported,
            // Who may not ask is told nothing of the kernel.
            Err(error) if matches!(errno(&error), Some(libc::EPERM | libc::EACCES)) => Self::Unknown(chain(&error)),
            Err(Error { kind: Kind::Unsupported, .. }) => Self::Unsupported,
            Err(error) => Self::Unknown(chain(&error)),
        }
    }
}

/// A program that calls the helper is loaded.
pub(super) fn helper(helper: BpfHelper) -> Support {
    let answer = is_helper_supported(ProgramType::SchedClassifier, helper);
    answer.map_or_else(|error| Support::Unknown(chain(&error)), |has| Ok(has).into())
}

/// A map of the type is made.
pub(super) fn map_type(kind: MapType) -> Support {
    is_map_supported(kind).map_or_else(|error| Support::Unknown(chain(&error)), |has| Ok(has).into())
}

/// The kernel's types have what the programs call and read, and a program that calls it is loaded.
pub(super) fn context_of_the_kernel() -> Support {
    let Some(number) = kernel_fields::cast_function() else { return types_lack_it() };
    if !kernel_fields::sees_offloads() {
        return Support::Unsupported;
    }
    Support::of(bpf::load(SCHED_CLS, &program::kernel_function(number.cast_signed()), 0))
}

/// The kernel's types have the functions: those of modules would be elsewhere.
pub(super) fn conntrack() -> Support {
    if kernel_fields::asks_conntrack() { Support::Supported } else { types_lack_it() }
}

/// What it means that something is not in the kernel's types.
fn types_lack_it() -> Support {
    match fs::File::open(kernel_fields::KERNEL_TYPES) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Support::Unknown(error.to_string()),
        _ => Support::Unsupported,
    }
}

/// A look-up with the flag is run: the kernel refuses flags that it does not know.
pub(super) fn route_flag(flag: i32) -> Support {
    match bpf::run(&program::route_question(flag)) {
        Ok(answer) if answer == -libc::EAFNOSUPPORT => Support::Supported,
        Ok(answer) if answer == -libc::EINVAL => Support::Unsupported,
        Ok(answer) => Support::Unknown(format!("the look-up returned {answer}")),
        Err(error) => Support::Unknown(error.to_string()),
    }
}

/// A program with both operations is loaded.
pub(super) fn atomics() -> Support {
    Support::of(bpf::load(SCHED_CLS, &program::ATOMIC, 0))
}

/// A program that reads what it has not written is loaded.
pub(super) fn unwritten_stack() -> Support {
    Support::of(bpf::load(SCHED_CLS, &program::UNWRITTEN, 0))
}

/// An array with the flag is made.
pub(super) fn mapped_arrays() -> Support {
    /// `BPF_MAP_TYPE_ARRAY`, `BPF_F_MMAPABLE`.
    const ARRAY: (u32, u32) = (2, 1 << 10);
    Support::of(bpf::map(ARRAY.0, 8, ARRAY.1))
}

/// A program with a function and a tail call is loaded.
pub(super) fn tail_calls_beside_functions() -> Support {
    use std::os::fd::AsRawFd as _;
    /// `BPF_MAP_TYPE_PROG_ARRAY`.
    const PROGRAMS: u32 = 3;
    let load = || {
        let map = bpf::map(PROGRAMS, 4, 0)?;
        bpf::load(SCHED_CLS, &program::tail_call_beside_a_function(map.as_raw_fd()), 0)
    };
    Support::of(load())
}

/// The programs at the loopback interface are asked for, as before something is attached.
pub(super) fn tcx() -> Support {
    Backend::of_kernel().map(|backend| backend == Backend::Tcx).into()
}

/// An empty map is read by the call.
pub(super) fn batches() -> Support {
    /// `BPF_MAP_TYPE_HASH`.
    const HASH: u32 = 1;
    Support::of(bpf::map(HASH, 8, 0).and_then(|map| bpf::read_batch(&map)))
}

/// The file system is in the kernel's list.
pub(super) fn bpffs() -> Support {
    match fs::read_to_string("/proc/filesystems") {
        Ok(list) => Ok(list.lines().any(|line| line.split_whitespace().last() == Some("bpf"))).into(),
        Err(error) => Support::Unknown(error.to_string()),
    }
}

/// The cookie of this namespace is read.
pub(super) fn cookie() -> Support {
    Support::made(Netns::current().and_then(|netns| netns.cookie()).map(drop))
}

/// A program that is asked whom a socket is connected to is loaded: the youngest of those at a cgroup.
pub(super) fn socket_addresses() -> Support {
    /// One of `enum bpf_attach_type`.
    const GETPEERNAME4: u32 = 29;
    Support::of(bpf::load_for(SOCK_ADDR, &program::GO_ON, GETPEERNAME4))
}

/// A program for frames in several buffers is loaded.
pub(super) fn xdp_frags() -> Support {
    /// `BPF_F_XDP_HAS_FRAGS`.
    const FRAGS: u32 = 1 << 5;
    Support::of(bpf::load(XDP, &program::XDP_PASS, FRAGS))
}

/// The kernel is asked for the features of the loopback interface.
pub(super) fn xdp_features() -> Support {
    in_scratch(|| Netlink::here()?.tells_xdp_features()).into()
}

/// The module that makes a kind of interface is not loaded, and asking for one would load it.
fn unloaded(module: &str) -> Option<Support> {
    let loads = !netlink::may_be_used(&[module]);
    loads.then(|| Support::Unknown(format!("the module {module} is not loaded, and asking would load it")))
}

/// A pair is made.
pub(super) fn veth() -> Support {
    unloaded("veth").unwrap_or_else(|| Support::made(in_scratch(|| make_pair(PairKind::Veth).map(drop))))
}

/// A program is attached to an end of a pair, in its driver.
pub(super) fn veth_xdp() -> Support {
    /// `XDP_FLAGS_DRV_MODE`.
    const DRIVER: u32 = 1 << 2;
    let attach = || {
        let veth = make_pair(PairKind::Veth)?;
        let linked =
            bpf::load(XDP, &program::XDP_PASS, 0).and_then(|program| bpf::link(program.as_fd(), veth, BPF_XDP, DRIVER));
        Ok(Support::of(linked))
    };
    unloaded("veth").unwrap_or_else(|| in_scratch(attach).unwrap_or_else(|error| Support::Unknown(chain(&error))))
}

fn make_pair(kind: PairKind) -> Result<u32> {
    let spec = PairSpec {
        kind,
        host_if: "fwdprobe0".into(),
        ns_if: "fwdprobe1".into(),
        host_mac: None,
        ns_mac: [2, 0, 0, 0, 0, 1],
        mtu: 1500,
        alias: "asks for a pair".into(),
    };
    Netlink::here()?.create_pair(&spec, &Netns::current()?)
}

/// A bridge is made.
pub(super) fn bridge() -> Support {
    let spec =
        BridgeSpec { name: "fwdprobe0".into(), mac: [2, 0, 0, 0, 0, 1], mtu: 1500, alias: "asks for a bridge".into() };
    let make = || Netlink::here()?.create_bridge(&spec).map(drop);
    unloaded("bridge").unwrap_or_else(|| Support::made(in_scratch(make)))
}

/// The rule is made.
pub(super) fn masquerade() -> Support {
    let leaving = nft::Leaving::By("fwdprobe0".into());
    let rule = nft::Masquerade { network: "probe".into(), subnet: ipnet::Ipv4Net::default(), leaving };
    let make = || nft::ensure_masquerade(&rule).map(drop);
    unloaded("nft_masq").unwrap_or_else(|| Support::made(in_scratch(make)))
}

/// The loopback interface is given one.
pub(super) fn shaper() -> Support {
    const LOOPBACK: u32 = 1;
    let slow = Shaper { rate: 1_000_000, burst: 1_600, limit: 16_000 };
    let make = || Netlink::here()?.shape(LOOPBACK, Some(slow));
    unloaded("sch_tbf").unwrap_or_else(|| Support::made(in_scratch(make)))
}

/// A pair is made, and a program is attached to it.
pub(super) fn netkit() -> Support {
    let attach = || {
        let pair = make_pair(PairKind::Netkit)?;
        let program = bpf::load(SCHED_CLS, &program::GO_ON, 0);
        Ok(Support::of(program.and_then(|program| bpf::link(program.as_fd(), pair, PEER, 0))))
    };
    // It is a part of the kernel or absent: no module could be loaded.
    in_scratch(attach).unwrap_or_else(|error| Support::made(Err(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_refusal_says_that_something_is_missing() {
        let answer = |errno| Support::of::<()>(Err(io::Error::from_raw_os_error(errno)));
        assert_eq!(answer(libc::EINVAL), Support::Unsupported);
        assert_eq!(answer(ENOTSUPP), Support::Unsupported);
        for errno in [libc::EPERM, libc::ENOMEM, libc::ENFILE] {
            assert!(matches!(answer(errno), Support::Unknown(said) if said.contains("os error")), "{errno}");
        }
        assert_eq!(Support::of(Ok(())), Support::Supported);
    }

    #[test]
    fn who_may_not_ask_is_told_nothing() {
        let made = |kind, errno| {
            let error = Error::new(kind, "make", "a pair", "refused").caused_by(io::Error::from_raw_os_error(errno));
            Support::made(Err(error))
        };
        assert_eq!(made(Kind::Unsupported, libc::EOPNOTSUPP), Support::Unsupported);
        assert!(matches!(made(Kind::Unsupported, libc::EPERM), Support::Unknown(_)));
        assert!(matches!(made(Kind::Conflict, libc::EEXIST), Support::Unknown(_)));
    }
}
