//! An endpoint of the pool that is given to somebody.

use forwarder_common::abi::{Endpoint, endpoint_flags};

use super::super::{Execute, Runner, unrecorded};
use fwd_base::Result;
use fwd_dataplane::Described;
use fwd_kernel::netns::{Name, Netns};
use fwd_plan::{TargetRef, Undo, object::EndpointTaken};

impl Execute for EndpointTaken {
    fn make(&self, runner: &mut Runner<'_>) -> Result<()> {
        let gives = if self.resolv_conf { endpoint_flags::RESOLV_CONF } else { 0 };
        runner.give(self, &self.to, gives)?;
        self.former().try_for_each(|name| runner.no_more(self, name))
    }

    fn remove(&self, runner: &mut Runner<'_>) -> Result<()> {
        runner.give(self, &self.from, endpoint_flags::POOLED)?;
        if self.from == self.to { Ok(()) } else { runner.no_more(self, &self.to) }
    }
}

fn noted(taken: &EndpointTaken, name: &Name) -> Undo {
    Undo::Netns { name: name.clone(), cookie: Some(taken.cookie) }
}

impl Runner<'_> {
    /// Gives namespace, record and alias another name. Those that it had go afterwards: until then whatever a killed command has left is known
    /// by the undo log, and done again from the beginning it comes to the same.
    fn give(&self, taken: &EndpointTaken, name: &Name, gives: u32) -> Result<()> {
        self.log.put(&noted(taken, name))?;
        if !is_called(name, taken.cookie) {
            self.namespace(&TargetRef::Named(taken.to.clone()))?.publish(name)?;
        }
        self.call_endpoint(taken, name, gives)
    }

    /// Takes a name from the namespace.
    fn no_more(&self, taken: &EndpointTaken, name: &Name) -> Result<()> {
        match Netns::open_named(name) {
            // Somebody else's.
            Ok(ns) if ns.cookie()? != taken.cookie => {}
            // Its own; or nothing is left but the file that had the name.
            _ => Netns::delete_named(name).map(drop)?,
        }
        self.log.remove(&noted(taken, name))
    }

    /// The metadata before the record that names them, and those of its former name after it.
    fn call_endpoint(&self, taken: &EndpointTaken, to: &Name, gives: u32) -> Result<()> {
        let plane = self.plane()?;
        let index = self.number(&taken.host_if)?;
        let endpoint = plane.endpoint(index)?.ok_or_else(|| unrecorded(format!("endpoint {}", taken.host_if)))?;
        let Described { record, mut metadata, unreadable: _ } = plane.describe(index, endpoint)?;
        metadata.id = TargetRef::Named(to.clone()).id(&taken.ns_if);
        metadata.netns.name = Some(to.to_string());
        let key = plane.put_metadata(&metadata, taken.cookie)?;
        let flags = record.flags & !(endpoint_flags::POOLED | endpoint_flags::RESOLV_CONF);
        plane.put_endpoint(index, &Endpoint { metadata: key, flags: flags | gives, ..record })?;
        if record.metadata != key {
            plane.forget_metadata(record.metadata)?;
        }
        self.netlink.set_alias(index, &taken.alias(self.owner, to))
    }
}

/// Whether the namespace with this cookie has this name already.
fn is_called(name: &Name, cookie: u64) -> bool {
    Netns::open_named(name).and_then(|ns| ns.cookie()).is_ok_and(|its| its == cookie)
}
