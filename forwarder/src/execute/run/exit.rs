//! The macvlan by which established flows leave a namespace.

use super::{Runner, inside::index_of};
use crate::{
    Error, Kind, Result,
    netlink::MacvlanSpec,
    reconcile::{EXIT_IF, Object, TargetRef, is_our_exit},
};

impl Runner<'_> {
    /// Makes the macvlan, guards it before it is up, leads flows there, and notes it last: until then no flow takes it.
    pub(super) fn open_exit(&mut self, object: &Object) -> Result<()> {
        let Object::Exit { host_if, ns, ns_if, uplink, mtu, .. } = object else { return Ok(()) };
        let host_end = self.link(host_if)?.index;
        if !self.has_exit(ns)? {
            let spec = MacvlanSpec { name: EXIT_IF.into(), mtu: *mtu };
            self.netlink.create_macvlan(&spec, self.link(uplink)?.index, self.namespace(ns)?)?;
        }
        let netlink = self.netlink_in(ns)?;
        let (exit, inside) = (index_of(netlink, EXIT_IF)?, index_of(netlink, ns_if)?);
        netlink.disable_addrgen(exit)?;
        if inside != host_end {
            let why = format!("it has number {inside}, its other end {host_end}, and the two must be the same");
            return Err(Error::new(Kind::Conflict, "use", format!("{ns_if} in {ns}"), why)
                .remedy("take the namespace down and up again"));
        }
        let plane = self.plane()?;
        self.namespace(ns)?.run(|| plane.attach_exit(host_end, exit))?;
        self.netlink_in(ns)?.set_up(exit)?;
        self.note_exit(host_end, exit)
    }

    /// The reverse. What is gone already, the namespace too, is no failure.
    pub(super) fn close_exit(&mut self, object: &Object) -> Result<()> {
        let Object::Exit { host_if, index, ns, .. } = object else { return Ok(()) };
        let host_end = index.map_or_else(|| self.link(host_if).map(|link| link.index), Ok)?;
        self.note_exit(host_end, 0).or_else(gone)?;
        self.plane()?.detach_exit(host_end)?;
        if self.namespaces.contains_key(ns) && self.has_exit(ns)? {
            let netlink = self.netlink_in(ns)?;
            netlink.delete_link(index_of(netlink, EXIT_IF)?).or_else(gone)?;
        }
        Ok(())
    }

    fn has_exit(&mut self, ns: &TargetRef) -> Result<bool> {
        Ok(self.netlink_in(ns)?.link(EXIT_IF)?.as_ref().is_some_and(is_our_exit))
    }

    fn note_exit(&self, host_end: u32, exit: u32) -> Result<()> {
        let plane = self.plane()?;
        let endpoint = plane.endpoints()?.into_iter().find(|(index, _)| *index == host_end);
        let Some((_, mut endpoint)) = endpoint else {
            return Err(Error::new(
                Kind::NotFound,
                "note the exit of",
                format!("endpoint {host_end}"),
                "it has no record",
            ));
        };
        endpoint.exit = exit;
        plane.put_endpoint(host_end, &endpoint)
    }
}

/// What is to go and is not there is no failure.
fn gone(error: Error) -> Result<()> {
    if error.kind == Kind::NotFound { Ok(()) } else { Err(error) }
}
