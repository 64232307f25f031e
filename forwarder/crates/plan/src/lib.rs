//! Decides what `up` and `down` do: desired less actual is a list of operations. Touches no kernel.
//!
//! [`plan`] takes what is [`Desired`], as data, the [`Scope`] of a command, and [`Actual`], everything that was read before, and returns
//! [`Op`]s: `up` desires one endpoint in a scope of its own, `down` nothing, and [`export`] is the inverse. Each object is looked at for itself ([`Actual::has`]), so that a command that was interrupted anywhere is completed by the next one.
//! Everything that can be refused is refused here.

mod actual;
mod advice;
mod datapath;
mod desired;
mod down;
mod effect;
mod export;
mod mend;
mod names;
mod net_config;
pub mod object;
mod op;
mod options;
mod orphans;
mod overlap;
mod plan;
mod record;
mod refuse;
mod request;
mod route_mtus;
mod settle;
mod settled;
mod shell;
mod subnet;
mod surroundings;
mod sysctls;
mod undo;
mod up;
mod uplink;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use actual::{Actual, EndpointNetns, Host, ResolvConf, Target, TargetNetns};
pub use datapath::Datapath;
pub use desired::{Desired, DownRequest, Endpoint, Network, Scope, UplinkChoice};
pub use export::export;
pub use names::{DEFAULT_NETWORK, NS_IF, Owner, is_made};
pub use net_config::NetConfig;
pub use object::{Acts, EndpointSpec, Managed, NetworkSpec, Object};
pub use op::{Action, Op};
pub use options::{IDLE_TIMES, IdleTime, Nat, TableRecord, TableRequest, Treatment, range, seconds};
pub use plan::{Place, Plan, plan, plan_down, plan_up};
pub use record::{EndpointRecord, Interface, Marks, NetworkRecord, Records, SysctlRecord, UplinkRecord};
pub use refuse::refuse_others;
pub use request::{TargetRef, UpRequest};
pub use route_mtus::route_mtus;
pub use settle::network_name;
pub use surroundings::{Concerned, Surroundings};
pub use sysctls::{ALL_FORWARDING, arp_ignore, forwarding};
pub use undo::Undo;
