//! The declaration: a feature a row. docs/kernels.md shows it (`./x docs`).

use aya::{maps::MapType, sys::BpfHelper};

use super::{
    ask,
    feature::{Feature, Part, Probe, Without},
};

/// How helpers are asked for.
const BY_CALL: &str = "a program that calls it is loaded";
/// How other features of the verifier are.
const BY_LOADING: &str = "such a program is loaded";
/// How interfaces and rules are.
const BY_MAKING: &str =
    "one is made in a network namespace that goes with it, where no module has to be loaded for that";
const TC: &[Part] = &[Part::Tc];

/// Links of traffic control.
pub const TCX: Feature = Feature {
    name: "TCX",
    since: "6.6",
    needed_for: "attaching by links, ordered with other programs",
    without: Without::Otherwise(
        "a clsact qdisc and filters instead, as with `--attach clsact`; `fwd latency`, and `veth-floor` of `fwd bench`, are refused",
    ),
    parts: &[Part::Tc, Part::Latency, Part::Bench],
    probe: Probe { how: "the programs at the loopback interface are asked for", ask: ask::tcx },
};

/// Programs at a cgroup.
pub const SOCKET_ADDRESSES: Feature = Feature {
    name: "programs for socket addresses at a cgroup",
    since: "5.8",
    needed_for: "published ports by the host's own addresses, for programs of the host",
    without: Without::Warned(
        "programs of the host use the namespace's own address, which `up` and `port add` say; ports for the host alone \
         (127.0.0.1) are refused",
    ),
    parts: TC,
    probe: Probe { how: BY_LOADING, ask: ask::socket_addresses },
};

/// Queues that keep to a rate.
pub const TBF: Feature = Feature {
    name: "sch_tbf",
    since: "2.2",
    needed_for: "letting packets wait that are more than a limit lets through",
    without: Without::Refused,
    parts: &[Part::Limits],
    probe: Probe { how: BY_MAKING, ask: ask::shaper },
};

/// Pairs of interfaces with programs of their own.
pub const NETKIT: Feature = Feature {
    name: "netkit",
    since: "6.7",
    needed_for: "connecting namespaces by pairs whose program runs while a namespace sends",
    without: Without::Refused,
    parts: &[Part::Netkit],
    probe: Probe {
        how: "a pair is made in a network namespace that goes with it, and a program is attached to it",
        ask: ask::netkit,
    },
};

/// Everything that `fwd` asks of the kernel.
pub const FEATURES: &[Feature] = &[
    Feature {
        name: "bpf_loop",
        since: "5.17",
        needed_for: "searching for ports, ending idle flows and those of an interface",
        without: Without::Refused,
        parts: TC,
        probe: Probe { how: BY_CALL, ask: || ask::helper(BpfHelper::BPF_FUNC_loop) },
    },
    Feature {
        name: "bpf_timer_init",
        since: "5.15",
        needed_for: "ending idle flows without a daemon",
        without: Without::Refused,
        parts: TC,
        probe: Probe { how: BY_CALL, ask: || ask::helper(BpfHelper::BPF_FUNC_timer_init) },
    },
    Feature {
        name: "bpf_redirect_neigh",
        since: "5.10",
        needed_for: "sending by the uplink",
        without: Without::Refused,
        parts: &[Part::Tc, Part::Bench],
        probe: Probe { how: BY_CALL, ask: || ask::helper(BpfHelper::BPF_FUNC_redirect_neigh) },
    },
    Feature {
        name: "bpf_redirect_peer",
        since: "5.10",
        needed_for: "delivering into a namespace",
        without: Without::Refused,
        parts: &[Part::Tc, Part::Bench],
        probe: Probe { how: BY_CALL, ask: || ask::helper(BpfHelper::BPF_FUNC_redirect_peer) },
    },
    Feature {
        name: "bpf_skc_lookup_tcp",
        since: "5.2",
        needed_for: "leaving TCP ports of the host's sockets alone",
        without: Without::Refused,
        parts: TC,
        probe: Probe { how: BY_CALL, ask: || ask::helper(BpfHelper::BPF_FUNC_skc_lookup_tcp) },
    },
    Feature {
        name: "bpf_sk_lookup_udp",
        since: "4.20",
        needed_for: "leaving UDP ports of the host's sockets alone",
        without: Without::Refused,
        parts: TC,
        probe: Probe { how: BY_CALL, ask: || ask::helper(BpfHelper::BPF_FUNC_sk_lookup_udp) },
    },
    Feature {
        name: "bpf_fib_lookup",
        since: "4.18",
        needed_for: "the route of a flow",
        without: Without::Refused,
        parts: TC,
        probe: Probe { how: BY_CALL, ask: || ask::helper(BpfHelper::BPF_FUNC_fib_lookup) },
    },
    Feature {
        name: "bpf_check_mtu",
        since: "5.12",
        needed_for: "the MTU of the interface that a flow leaves by",
        without: Without::Refused,
        parts: TC,
        probe: Probe { how: BY_CALL, ask: || ask::helper(BpfHelper::BPF_FUNC_check_mtu) },
    },
    Feature {
        name: "BPF_FIB_LOOKUP_SRC",
        since: "6.7",
        needed_for: "the source address that the route prefers",
        without: Without::Otherwise("the uplink's first address is taken"),
        parts: TC,
        probe: Probe { how: "a look-up with this flag is run", ask: || ask::route_flag(1 << 4) },
    },
    Feature {
        name: "bpf_for_each_map_elem",
        since: "5.13",
        needed_for: "ending the flows of interfaces that have gone",
        without: Without::Refused,
        parts: TC,
        probe: Probe { how: BY_CALL, ask: || ask::helper(BpfHelper::BPF_FUNC_for_each_map_elem) },
    },
    Feature {
        name: "DEVMAP_HASH",
        since: "5.4",
        needed_for: "knowing which interfaces have gone; redirecting frames by XDP",
        without: Without::Refused,
        parts: &[Part::Tc, Part::Xdp, Part::Kernel],
        probe: Probe { how: "a map of this type is made", ask: || ask::map_type(MapType::DevMapHash) },
    },
    Feature {
        name: "bpf_cast_to_kern_ctx",
        since: "6.2, with BTF of the kernel",
        needed_for: "updating checksums in the program; seeing where a checksum that is left to the network card would be written",
        without: Without::Warned(
            "`bpf_l4_csum_replace`, two times a packet; `up` warns: on an uplink that finishes no checksums a namespace with \
             CAP_NET_RAW can have one written over its port (as with masquerade by nftables), not over its address, because \
             header checksums are verified",
        ),
        parts: TC,
        probe: Probe {
            how: "a program that calls it is loaded, and the kernel's types have the fields",
            ask: ask::context_of_the_kernel,
        },
    },
    Feature {
        name: "bpf_skb_ct_lookup",
        since: "6.0, with conntrack built in",
        needed_for: "leaving ports alone that the kernel's own NAT has given away",
        without: Without::Otherwise(
            "a conversation of the kernel that came first may lose its port to a namespace; one that comes later gets another",
        ),
        parts: TC,
        probe: Probe { how: "the kernel's types (BTF) have it", ask: ask::conntrack },
    },
    Feature {
        name: "reads of uninitialised stack",
        since: "6.3",
        needed_for: "programs as LLVM builds them: it saves registers whether they were set or not",
        without: Without::Refused,
        parts: TC,
        probe: Probe { how: BY_LOADING, ask: ask::unwritten_stack },
    },
    Feature {
        name: "atomic cmpxchg, and adds that return",
        since: "5.12",
        needed_for: "changing a flow's state",
        without: Without::RefusedWhenLoading,
        parts: TC,
        probe: Probe { how: BY_LOADING, ask: ask::atomics },
    },
    Feature {
        name: "tail calls of programs that have functions",
        since: "5.10",
        needed_for: "the slow path of each hook, a program of its own",
        without: Without::RefusedWhenLoading,
        parts: TC,
        probe: Probe { how: BY_LOADING, ask: ask::tail_calls_beside_functions },
    },
    Feature {
        name: "mmapable arrays",
        since: "5.5",
        needed_for: "reading the flow table without a system call for each flow",
        without: Without::RefusedWhenLoading,
        parts: TC,
        probe: Probe { how: "one is made", ask: ask::mapped_arrays },
    },
    Feature {
        name: "BPF_MAP_LOOKUP_BATCH",
        since: "5.6",
        needed_for: "reading the records of a thousand endpoints in a few system calls",
        without: Without::Slower("they are read one by one"),
        parts: &[Part::Tc, Part::Kernel],
        probe: Probe { how: "an empty map is read by it", ask: ask::batches },
    },
    TCX,
    SOCKET_ADDRESSES,
    Feature {
        name: "bpffs",
        since: "4.4",
        needed_for: "programs and maps that outlive the command",
        without: Without::RefusedWhenUsed,
        parts: &[Part::Tc, Part::Kernel],
        probe: Probe { how: "the kernel lists this file system", ask: ask::bpffs },
    },
    Feature {
        name: "SO_NETNS_COOKIE",
        since: "5.14",
        needed_for: "telling namespaces apart for good",
        without: Without::RefusedWhenUsed,
        parts: &[Part::Tc, Part::Kernel],
        probe: Probe { how: "the cookie of the host's namespace is read", ask: ask::cookie },
    },
    Feature {
        name: "veth",
        since: "2.6.24",
        needed_for: "connecting namespaces",
        without: Without::RefusedWhenUsed,
        parts: &[Part::Tc, Part::Kernel, Part::Bench],
        probe: Probe { how: BY_MAKING, ask: ask::veth },
    },
    Feature {
        name: "bridge",
        since: "2.4",
        needed_for: "the gateway of a network, and what the programs leave to the kernel",
        without: Without::RefusedWhenUsed,
        parts: &[Part::Tc, Part::Kernel, Part::Bench],
        probe: Probe { how: BY_MAKING, ask: ask::bridge },
    },
    Feature {
        name: "bpf_skb_change_head",
        since: "4.10",
        needed_for: "delivering what comes by an uplink without link-layer header",
        without: Without::RefusedWhenLoading,
        parts: &[Part::L3Uplink],
        probe: Probe { how: BY_CALL, ask: || ask::helper(BpfHelper::BPF_FUNC_skb_change_head) },
    },
    Feature {
        name: "XDP programs for frames in several buffers",
        since: "5.18",
        needed_for: "XDP in drivers, whatever the size of frames",
        without: Without::Otherwise("generic XDP: what leaves a namespace goes by the tc programs"),
        parts: &[Part::Xdp],
        probe: Probe { how: BY_LOADING, ask: ask::xdp_frags },
    },
    Feature {
        name: "XDP on veth",
        since: "4.19",
        needed_for: "XDP for what leaves a namespace",
        without: Without::Otherwise("a namespace's packets go by the tc programs"),
        parts: &[Part::Xdp],
        probe: Probe {
            how: "a program is attached to a pair in a network namespace that goes with it",
            ask: ask::veth_xdp,
        },
    },
    Feature {
        name: "XDP features of interfaces over netlink",
        since: "6.3",
        needed_for: "knowing whether an interface sends frames that are redirected to it",
        without: Without::Otherwise("a driver that runs XDP programs is taken to send redirected frames too"),
        parts: &[Part::Xdp],
        probe: Probe { how: "the kernel is asked for those of the loopback interface", ask: ask::xdp_features },
    },
    Feature {
        name: "nft_masq",
        since: "3.18",
        needed_for: "masquerade by nftables",
        without: Without::RefusedWhenUsed,
        parts: &[Part::Kernel, Part::Bench],
        probe: Probe { how: BY_MAKING, ask: ask::masquerade },
    },
    TBF,
    NETKIT,
    Feature {
        name: "BPF_MAP_TYPE_RINGBUF",
        since: "5.8",
        needed_for: "telling of each packet",
        without: Without::RefusedWhenUsed,
        parts: &[Part::Trace],
        probe: Probe { how: "a map of this type is made", ask: || ask::map_type(MapType::RingBuf) },
    },
];
