//! Published ports, and whose they are.

use std::net::{Ipv4Addr, Ipv6Addr};

use forwarder_common::abi::endpoint_flags;

use super::State;
use crate::execute;
use fwd_base::Result;
use fwd_dataplane::{Described, Publication, name_of};
use fwd_plan::Listener;
use fwd_render::PublishedView;

impl State {
    /// The ports that lead to these endpoints.
    ///
    /// # Errors
    /// /proc cannot be read.
    pub fn published_ports(&self) -> Result<Vec<PublishedView>> {
        let shown: Vec<_> = self.publications.iter().filter_map(|it| Some((it, self.publisher(it)?))).collect();
        let listeners = execute::listeners(shown.iter().map(|(publication, _)| &publication.ports))?;
        let host_access = self.plane.host_cgroup()?.is_some();
        let view = |(publication, endpoint)| {
            let view = self.publication(publication, endpoint, &listeners);
            PublishedView { host_access: view.host_access || host_access, ..view }
        };
        Ok(shown.into_iter().map(view).collect())
    }

    fn publisher(&self, publication: &Publication) -> Option<&Described> {
        let is_it = |(index, it): &&(u32, Described)| {
            (*index, it.record.netns_cookie) == (publication.endpoint, publication.cookie)
        };
        self.endpoints.iter().find(is_it).map(|(_, endpoint)| endpoint)
    }

    fn publication(&self, it: &Publication, endpoint: &Described, listeners: &[Listener]) -> PublishedView {
        let (Publication { ports, .. }, Described { record, metadata, .. }) = (it, endpoint);
        let by_kernel = record.flags & endpoint_flags::KERNEL_DATAPATH != 0;
        let address = Some(Ipv4Addr::from(record.v4)).filter(|it| !it.is_unspecified() && ports.are_of(true));
        let address6 = Some(Ipv6Addr::from(record.v6)).filter(|it| !it.is_unspecified() && ports.are_of(false));
        // Runtimes hold what they publish, and are passed by (`decide::host_access::passes_listeners`).
        let is_passed = record.flags & endpoint_flags::RUNTIME != 0;
        let is_reached = |it: &Listener| {
            if is_passed {
                false
            } else if it.address.is_ipv4() {
                address.is_some()
            } else {
                address6.is_some()
            }
        };
        let listener = listeners.iter().find(|it| ports.has(it.transport, it.address, it.port) && is_reached(it));
        let who = |it: &Listener| it.process.clone().unwrap_or_else(|| format!("a socket with port {}", it.port));
        let uplink = self.uplinks.get(&record.uplink).map(|uplink| name_of(&uplink.ifname)).unwrap_or_default();
        PublishedView {
            published: ports.for_all().to_string(),
            host_address: ports.host,
            host_ports: (ports.first, ports.last),
            proto: ports.transport.name().into(),
            senders: ports.senders.prefixes().to_vec(),
            // What is for the host alone comes by the loopback.
            uplink: if ports.is_for_host_alone() { "lo" } else { uplink.as_str() }.into(),
            network: metadata.network.clone().into(),
            ns: metadata.netns.name.clone().map(Into::into),
            netns_inode: metadata.netns.inode,
            pid: metadata.netns.pid,
            container: metadata.netns.container.clone().map(Into::into),
            ns_if: metadata.id.ifname.clone().into(),
            address,
            address6,
            ports: (ports.inside, ports.inside_last()),
            gone: self.host_veth(it.endpoint).is_none(),
            host_access: by_kernel,
            shadows: listener.map(|it| who(it).into()),
        }
    }
}
