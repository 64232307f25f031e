//! Programs of others at the interfaces of networks.

use super::{Check, Finding, Subject, Verdict, shown};
use fwd_base::{Result, text::word};
use fwd_dataplane::{AttachPoint, AttachedProgram, ProgramNames, TcxOrder, programs_at};
use fwd_kernel::netlink::Link;

pub(super) const OTHERS: Check = Check {
    name: "hooks",
    looks_at: "the programs at XDP, TCX, clsact and netkit of uplinks, bridges and host-side veths, in the order in which packets meet them",
    why: "a program before ours may take packets away or change them, and one behind ours never sees what is redirected",
    look: others,
};

fn others(subject: &Subject<'_>) -> Result<Vec<Finding>> {
    let records = &subject.actual.records;
    let uplinks = records.uplinks.iter().map(|uplink| uplink.index);
    let networks = records.networks.iter().map(|network| network.index);
    let endpoints = records.endpoints.iter().map(|endpoint| endpoint.index);
    let indexes = uplinks.chain(networks).chain(endpoints).filter(|index| records.devices.contains(index));
    let (mut findings, names) = (Vec::new(), ProgramNames::read());
    for link in indexes.filter_map(|index| subject.actual.host.net.by_index(index)) {
        findings.extend(at(subject, link, &programs_at(&subject.netlink, link, &names)?));
    }
    Ok(findings)
}

/// What is to be said of an interface at which others have programs.
fn at(subject: &Subject<'_>, link: &Link, programs: &[AttachedProgram]) -> Option<Finding> {
    if programs.iter().all(|program| program.ours) {
        return None;
    }
    let told: Vec<String> = programs.iter().map(ToString::to_string).collect();
    let told = shown(&format!("{}: {}", link.name, told.join(", ")));
    let uplink = subject.actual.records.uplinks.iter().find(|uplink| uplink.index == link.index);
    let is_behind = uplink.is_some_and(|uplink| uplink.order == TcxOrder::Last);
    let is_asked = |it: &AttachedProgram| is_behind && !it.ours && matches!(it.point, AttachPoint::Tcx(_));
    // Of one direction: what comes in meets netkit, XDP, TCX and clsact, what goes out all but XDP.
    let is_before = |inbound: bool| {
        let mut of = programs.iter().filter(|program| program.point.is_inbound() == inbound && !is_asked(program));
        let ours = of.clone().any(|program| program.ours);
        ours && of.next().is_some_and(|program| !program.ours)
    };
    if !is_before(true) && !is_before(false) {
        return Some(Finding::new(Verdict::Ok, told));
    }
    let show = subject.command("bpftool net show");
    let ours_first = if uplink.is_some() {
        let put = format!("`fwd uplink add {} --tcx-order first`", word(&shown(&link.name)));
        format!("put ours first among programs at TCX by {put}; where it may, --tcx-order last says so")
    } else {
        "have ours attached anew, which go first, by `fwd down --all` and `fwd up`".into()
    };
    let what = format!(
        "{told}: another program sees packets first ({show} tells more): where it must not, take it off, or {ours_first}"
    );
    Some(Finding::new(Verdict::Warn, what))
}
