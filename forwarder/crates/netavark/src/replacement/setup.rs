//! setup: attaches a container to all of its networks, or to none.

use std::{fs::File, net::IpAddr, path::Path};

use serde_json::{Map, Value, json};

use super::{
    Work,
    aardvark::{
        Aardvark,
        entries::{Entry, check_name},
    },
    failure::{Failure, Result, attaching},
    input::{Asked, Attachment},
    inside, interfaces,
    others::{Others, is_ours},
};
use crate::{commands, input::PortMapping};
use fwd_base::Cause;
use fwd_engine::execute::Observer;
use fwd_kernel::netlink::Netlink;
use fwd_plugin::Answer;

/// So many names of host-side veths are tried before one is taken that nobody else would choose.
const ATTEMPTS: u32 = 16;
/// The option that names the host-side veth.
const HOST_IF: &str = "host_interface_name";
/// The domain in which podman's names are.
const DOMAIN: &str = "dns.podman";

/// That there is such a namespace.
///
/// # Errors
/// There is none.
pub(super) fn check_netns(netns: &Path) -> Result<()> {
    File::open(netns).map(drop).map_err(|error| Failure::io("invalid namespace path", &error))
}

/// Names that are to be known, and what the user ought to know of those that cannot be.
pub(super) struct Named {
    entries: Vec<Entry>,
    warnings: Vec<String>,
}

/// Refuses everything that can be refused without the host.
///
/// # Errors
/// As the words say.
pub(super) fn checked(asked: &Asked, names: &Aardvark) -> Result<Named> {
    asked.ports.iter().try_for_each(check_port)?;
    let mut named = Named { entries: Vec::new(), warnings: Vec::new() };
    for attachment in &asked.attachments {
        if attachment.options.interface_name.is_empty() {
            return Err(Failure::new("no container interface name given"));
        }
        if is_ours(&attachment.network)? && attachment.network.dns_enabled {
            named.entries.push(entry(asked, attachment, &mut named.warnings));
        }
    }
    if !named.entries.is_empty() && names.missing().is_none() {
        names.prepare()?;
        named.warnings.extend(names.other_port().map(|port| {
            format!(
                "aardvark-dns answers at port {port}, where containers do not ask, and no rule leads there: they find no name; leave dns_bind_port of \
                 containers.conf out"
            )
        }));
    }
    Entry::check_servers(&named.entries).map_err(|why| Failure(why).while_doing("error while applying dns entries"))?;
    Ok(named)
}

/// Attaches it, and makes its names known. Where one network cannot be, those before it are undone.
pub(super) fn run(
    work: &Work<'_>,
    names: &Aardvark,
    Named { entries, mut warnings }: Named,
    observer: &mut dyn Observer,
) -> Result<Answer> {
    let mut statuses = Map::new();
    for (place, attachment) in work.asked.attachments.iter().enumerate() {
        let (status, said) = work.attach(attachment, names, observer).inspect_err(|_| work.undo(place, observer))?;
        statuses.insert(attachment.network.name.clone(), status);
        warnings.extend(said);
    }
    match names.missing() {
        _ if entries.is_empty() => {}
        Some(program) => warnings.push(format!(
            "there is no {}: containers do not find each other by name until it is installed",
            program.display()
        )),
        None => match names.add(&entries) {
            Ok(said) => warnings.extend(said),
            Err(failure) => {
                work.undo(work.asked.attachments.len(), observer);
                return Err(failure.while_doing("error while applying dns entries"));
            }
        },
    }
    Ok(Answer { document: Some(Value::Object(statuses)), warnings })
}

fn check_port(mapping: &PortMapping) -> Result<()> {
    let PortMapping { host_ip, host_port, .. } = mapping;
    if !host_ip.is_empty() && host_ip.parse::<IpAddr>().is_err() {
        return Err(Failure::new(format!("invalid host ip \"{host_ip}\" provided for port {host_port}")));
    }
    Ok(())
}

fn entry(asked: &Asked, Attachment { network, options, .. }: &Attachment, warnings: &mut Vec<String>) -> Entry {
    let mut names = Vec::new();
    for name in [&asked.name].into_iter().chain(&options.aliases) {
        match check_name(name) {
            Ok(()) => names.push(name.clone()),
            Err(why) => warnings.push(format!("invalid network alias {name:?}: {why}, ignoring this name")),
        }
    }
    Entry {
        network: network.name.clone(),
        internal: network.internal,
        gateways: network.subnets.iter().filter_map(|subnet| subnet.gateway).collect(),
        network_servers: network.network_dns_servers.clone(),
        id: asked.id.clone(),
        addresses: options.static_ips.clone(),
        names,
        servers: asked.dns_servers.clone(),
    }
}

impl Work<'_> {
    /// Attaches the container to one of its networks; its status there, and what the user ought to know.
    fn attach(
        &self,
        attachment: &Attachment,
        names: &Aardvark,
        observer: &mut dyn Observer,
    ) -> Result<(Value, Vec<String>)> {
        let Self { call, netns, asked, host: _ } = self;
        let Attachment { key, network, options } = attachment;
        if !is_ours(network)? {
            let status = Others { call }.of_network("setup", netns, asked, attachment)?.unwrap_or_default();
            let own = status.get(&network.name).or_else(|| status.get(key));
            return Ok((own.cloned().unwrap_or_default(), Vec::new()));
        }
        let attached = self.named(attachment, observer).map_err(|error| attaching(error, options))?;
        let Answer { document, warnings } = attached;
        self.set_inside(attachment).inspect_err(|_| drop(self.detach(attachment, observer)))?;
        let mut status = document.unwrap_or_default();
        let gateways: Vec<IpAddr> = network.subnets.iter().filter_map(|subnet| subnet.gateway).collect();
        // Nobody answers at the gateway without the program: others are asked then, or whom the host asks.
        let is_named = network.dns_enabled && names.missing().is_none();
        let (servers, domains) = if is_named { (&gateways, vec![DOMAIN]) } else { (&asked.dns_servers, Vec::new()) };
        (status["dns_server_ips"], status["dns_search_domains"]) = (json!(servers), json!(domains));
        Ok((status, warnings))
    }

    /// What is set besides, at the bridge that the network has: one that is called as the network's may be somebody else's.
    fn set_inside(&self, attachment: &Attachment) -> Result<()> {
        let bridge = match self.endpoint(attachment)? {
            Some(endpoint) => Netlink::here()?.link_by_index(endpoint.record.network)?.map(|link| link.name),
            None => None,
        };
        inside::set(self.netns, &attachment.network, bridge.as_deref(), &attachment.options.interface_name)
    }

    /// The same in a network of ours, with a host-side veth that is called as netavark's are, unless another name is asked for.
    fn named(&self, attachment: &Attachment, observer: &mut dyn Observer) -> fwd_base::Result<Answer> {
        let Self { call: _, netns, asked, host } = self;
        let mut container = asked.container(attachment);
        if container.network_options.options.contains_key(HOST_IF) {
            return commands::setup(netns, &container, host, observer);
        }
        for _ in 0..ATTEMPTS {
            let mut taken = interfaces()?;
            taken.extend(attachment.network.network_interface.clone());
            let free = (0..).map(|number| format!("veth{number}")).find(|name| !taken.contains(name));
            container.network_options.options.extend(free.map(|name| (HOST_IF.to_owned(), name)));
            match commands::setup(netns, &container, host, observer) {
                // Another call was faster.
                Err(error) if error.cause == Some(Cause::HostInterfaceTaken) => {}
                result => return result,
            }
        }
        commands::setup(netns, &asked.container(attachment), host, observer)
    }

    /// Detaches it from the first of its networks again. Why it has failed is told, not what is in the way of this.
    fn undo(&self, first: usize, observer: &mut dyn Observer) {
        for attachment in self.asked.attachments.iter().take(first).rev() {
            drop(self.detach(attachment, observer));
        }
    }
}
