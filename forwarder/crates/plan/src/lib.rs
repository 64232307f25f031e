//! Decides what `up` and `down` do: desired less actual is a list of operations. Touches no kernel.
//!
//! [`plan`] takes what is [`Desired`], as data, the [`Scope`] of a command, and [`Actual`], everything that was read before, and returns
//! [`Op`]s: `up` desires one endpoint in a scope of its own, `down` nothing, and [`export`] is the inverse. Each object is looked at for
//! itself ([`Actual::has`]), so that a command that was interrupted anywhere is completed by the next one.
//! Everything that can be refused is refused here.

mod actual;
mod desired;
pub mod object;
mod op;
mod plan;
mod settle;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use actual::{
    ALL_FORWARDING, ALL_FORWARDING6, ALL_IGNORE_LINKDOWN, Actual, Cgroup, Concerned, DEFAULT_NETWORK, EndpointNetns,
    EndpointRecord, Host, Interface, Listener, Marks, NS_IF, NetConfig, NetworkRecord, Owner, PROXY_NDP, Records,
    Refusal, ResolvConf, Surroundings, SysctlRecord, Target, TargetNetns, Undo, UplinkRecord, accept_ra, arp_ignore,
    disable_ipv6, endpoint_mac, forwarding, forwarding6, ignore_linkdown, ignore_linkdown6, is_made, refuses_transit,
    route_mtus, rp_filter,
};
pub(crate) use actual::{are_ends, families, names, sysctls};
pub use desired::written;
pub use desired::{
    Announced, AskedLimits, AskedRules, Bridging, Caller, Datapath, Declared, Desired, DownRequest, Endpoint,
    EndpointOptions, Flows, HardwareAddress, IDLE_TIMES, IdleTime, Ipv4, Ipv6, Limits, Nat, Network, NetworkRequest,
    NetworkScope, Places, PortRequest, RateLimit, RouteRequest, Scope, SourceRange, Sources, TableRecord, TableRequest,
    TargetRef, Treatment, UpRequest, UplinkChoice, UplinkRequest, range, seconds,
};
pub use object::{Acts, EndpointSpec, Managed, NetworkSpec, Object};
pub(crate) use op::shell;
pub use op::{Action, Op, shell::on_host};
pub(crate) use plan::orphans;
pub use plan::{
    Attachment, Change, ChangeKind, Group, Plan, export, fits, orphans::reference, partly, plan, plan_arrivals,
    plan_down, plan_network, plan_ports, plan_up, plan_uplinks, why_changed,
};
pub use settle::{Followed, free_subnets, interface, led_by, network_name, refuse_others, to_be_announced, unguarded};
pub(crate) use settle::{
    advice, allowed, host_address, ipv6, name_server, overlap, published, refuse, settled, subnet, uplink, ways,
};
