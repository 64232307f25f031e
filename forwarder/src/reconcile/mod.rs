//! Decides what `up` and `down` do: desired less actual is a list of operations. Touches no kernel.
//!
//! [`plan_up`] and [`plan_down`] take a request and [`Actual`], everything that was read before, and return [`Op`]s. Each object
//! is looked at for itself ([`Actual::has`]), so that a command that was interrupted anywhere is completed by the next one.
//! Everything that can be refused is refused here.

mod actual;
mod advice;
mod desired;
mod down;
mod equivalent;
mod garbage;
mod mend;
mod names;
mod object;
mod options;
mod overlap;
mod record;
mod refuse;
mod request;
mod route_mtus;
mod subnet;
mod surroundings;
mod undo;
mod up;
mod uplink;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use actual::{Actual, Host, Inside, Known, Net, ResolvConf, Target};
pub use desired::network_name;
pub use down::{DownPlan, plan_down, refuse_others};
pub use names::{DEFAULT_NETWORK, NS_IF, Owner, is_made};
pub use object::{Action, EndpointSpec, NetworkSpec, Object, Op};
pub use options::{IDLE_TIMES, IdleTime, Nat, TableRecord, TableRequest, Treatment, seconds};
pub use record::{EndpointRecord, Interface, Marks, NetworkRecord, Records, SysctlRecord, UplinkRecord};
pub use request::{Datapath, DownRequest, TargetRef, UpRequest};
pub use route_mtus::route_mtus;
pub use surroundings::{Concerned, Surroundings};
pub use undo::Undo;
pub use up::{ALL_FORWARDING, UpPlan, arp_ignore, forwarding, plan_up};
