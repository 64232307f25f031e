//! As `loopback`: the loopback interface of a container is up from ADD to DEL. containerd asks for that plugin before any other.

use serde_json::{Value, json};

use crate::{
    call::Call,
    environment::Command,
    failure::{Code, Failure, Result},
    version::Version,
};
use fwd_kernel::netlink::{Address, Link, Netlink};
use fwd_plugin::Answer;

/// What it is called in each namespace, whatever `CNI_IFNAME` says.
const LOOPBACK: &str = "lo";

/// Does what `command` says. There is nothing to be collected, and nothing that could be in the way of an ADD.
pub(super) fn run(command: Command, call: &Call) -> Result<Answer> {
    match command {
        Command::Add => add(call),
        Command::Check => check(call),
        Command::Del => del(call),
        Command::Gc | Command::Status | Command::Version => Ok(Answer::default()),
    }
}

/// Brings it up. Behind other plugins it answers what they have.
fn add(call: &Call) -> Result<Answer> {
    let addresses = call.netns()?.run(|| {
        let netlink = Netlink::here()?;
        let link = loopback(&netlink)?;
        netlink.set_up(link.index)?;
        netlink.addresses(Some(link.index))
    })?;
    let config = &call.config;
    let document =
        config.previous.clone().unwrap_or_else(|| result(config.version, &call.environment.netns, &addresses));
    Ok(Answer { document: Some(document), ..Answer::default() })
}

fn check(call: &Call) -> Result<Answer> {
    match call.netns()?.run(|| loopback(&Netlink::here()?))? {
        Link { up: true, .. } => Ok(Answer::default()),
        _ => Err(Failure::new(Code::Other, "lo is down in the container", "`ip link set lo up` inside brings it up")),
    }
}

/// Takes it down; with the namespace it has gone.
fn del(call: &Call) -> Result<Answer> {
    if call.environment.netns.is_empty() {
        return Ok(Answer::default());
    }
    let ns = match call.netns() {
        Err(failure) if failure.code == Code::UnknownContainer as u32 => return Ok(Answer::default()),
        ns => ns?,
    };
    ns.run(|| {
        let netlink = Netlink::here()?;
        netlink.set_down(loopback(&netlink)?.index)
    })?;
    Ok(Answer::default())
}

fn loopback(netlink: &Netlink) -> fwd_base::Result<Link> {
    let missing = || fwd_base::Error::new(fwd_base::Kind::NotFound, "find", LOOPBACK, "the namespace has none");
    netlink.link(LOOPBACK)?.ok_or_else(missing)
}

/// What ADD answers where no plugin came before.
fn result(version: Version, sandbox: &str, addresses: &[Address]) -> Value {
    let ip = |(_, address): &Address| {
        let mut ip = json!({ "interface": 0, "address": address });
        version.tell_family(&mut ip, address.addr());
        ip
    };
    json!({
        "cniVersion": version.name(),
        "interfaces": [{ "name": LOOPBACK, "mac": "00:00:00:00:00:00", "sandbox": sandbox }],
        "ips": addresses.iter().map(ip).collect::<Vec<_>>(),
        "dns": {},
    })
}
