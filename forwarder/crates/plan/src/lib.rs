//! Decides what `up` and `down` do: desired less actual is a list of operations. Touches no kernel.
//!
//! [`plan_up`] and [`plan_down`] take a request and [`Actual`], everything that was read before, and return [`Op`]s. Each object
//! is looked at for itself ([`Actual::has`]), so that a command that was interrupted anywhere is completed by the next one.
//! Everything that can be refused is refused here.

mod actual;
mod advice;
mod datapath;
mod desired;
mod down;
mod mend;
mod names;
mod net_config;
pub mod object;
mod op;
mod options;
mod orphans;
mod overlap;
mod record;
mod refuse;
mod request;
mod route_mtus;
mod settle;
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
pub use down::{DownPlan, plan_down};
pub use names::{DEFAULT_NETWORK, NS_IF, Owner, is_made};
pub use net_config::NetConfig;
pub use object::{Acts, EndpointSpec, Managed, NetworkSpec, Object};
pub use op::{Action, Op};
pub use options::{IDLE_TIMES, IdleTime, Nat, TableRecord, TableRequest, Treatment, range, seconds};
pub use record::{EndpointRecord, Interface, Marks, NetworkRecord, Records, SysctlRecord, UplinkRecord};
pub use refuse::refuse_others;
pub use request::{DownRequest, TargetRef, UpRequest};
pub use route_mtus::route_mtus;
pub use settle::network_name;
pub use surroundings::{Concerned, Surroundings};
pub use sysctls::{ALL_FORWARDING, arp_ignore, forwarding};
pub use undo::Undo;
pub use up::{UpPlan, plan_up};
