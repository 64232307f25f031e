//! What published ports change.

use crate::{Actual, Object, object};
use fwd_dataplane::Publication;

impl Actual {
    pub(super) fn publish(&mut self, object: &Object) {
        match object {
            Object::HostAccess(object::HostAccess { id, .. }) => {
                (self.records.host_cgroup, self.records.host_attached) = (Some(*id), true);
            }
            Object::Published(object) => {
                let Some((endpoint, cookie)) = object.endpoint(self) else { return };
                let publications = &mut self.records.publications;
                publications.retain(|it| it.endpoint != endpoint || it.ports != object.ports);
                publications.push(Publication { endpoint, cookie, ports: object.ports, whole: true });
                self.host.port_rules.extend(object.kernel.iter().flat_map(|kernel| kernel.comments(&object.ports)));
            }
            other => unreachable!("{other} publishes nothing"),
        }
    }

    pub(super) fn withdraw(&mut self, object: &Object) {
        match object {
            Object::HostAccess(_) => (self.records.host_cgroup, self.records.host_attached) = (None, false),
            Object::Published(ports) => {
                let endpoint = ports.endpoint(self);
                let is_it = |found: &Publication| {
                    Some((found.endpoint, found.cookie)) == endpoint && found.ports == ports.ports
                };
                self.records.publications.retain(|found| !is_it(found));
                let comments = ports.kernel.iter().flat_map(|kernel| kernel.comments(&ports.ports));
                comments.for_each(|comment| _ = self.host.port_rules.remove(&comment));
            }
            other => unreachable!("{other} publishes nothing"),
        }
    }
}
