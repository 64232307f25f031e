//! The kernel's interfaces that have nothing to do with BPF: network namespaces, cgroups, netlink, sockets, and sysctls.

pub mod cgroup;
pub mod frame;
pub mod netlink;
pub mod netns;
pub mod sockets;
pub mod sysctl;
