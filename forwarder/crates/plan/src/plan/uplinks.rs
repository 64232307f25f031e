//! Interfaces that become uplinks, or are none any more, because a command says so.

use super::{
    Plan, down,
    mend::{self, Mended},
};
use crate::{
    Actual, Desired, Ipv4, Op, UplinkRecord, UplinkRequest,
    refuse::{self, refuse_others},
    uplink::{self, Uplink},
    ways::{self, Followed, ways},
};
use fwd_base::{Error, Kind, Result};

/// Decides what has to be done so that interfaces are uplinks, or none. What is one already stays as it is, and is kept from now on.
///
/// # Errors
/// No network is up that programs forward; an interface cannot be one, is none, or is a network's own; or the kernel knows no order of programs.
pub fn plan_uplinks(request: &UplinkRequest, actual: &Actual) -> Result<Plan> {
    let UplinkRequest { add, remove, order } = request;
    refuse_others(&actual.records.others, "change the uplinks of")?;
    if !actual.records.networks.iter().any(|network| network.datapath.is_ebpf()) {
        let error = Error::new(Kind::NotFound, "change", "the uplinks", "no network is up that programs forward");
        return Err(error.remedy("bring one up first: `fwd up --ns NAME` takes in what the host's routes lead by"));
    }
    order.map_or(Ok(()), |order| refuse::tcx_order(order, actual))?;
    let Mended { mut ops, actual, notes: mut warnings } = mend::uplinks(actual, &Desired::default());
    let mends = ops.len();
    let mut rest = actual.into_owned();
    for name in add {
        let uplink = uplink::guardable(&rest, name)?;
        let objects = uplink.objects(&rest, Ipv4::On, (true, false)).into_iter().chain([ways::asked(&uplink)]);
        for object in objects.filter(|object| !rest.has(object)).collect::<Vec<_>>() {
            run(&mut rest, &mut ops, Op::make(object));
        }
        if let Some(object) = order.and_then(|to| ways::ordered(&rest, &uplink, to)) {
            run(&mut rest, &mut ops, Op::make(object));
        }
    }
    for name in remove {
        let record = removable(&rest, name)?.clone();
        if record.asked {
            let asked = ways::asked(&Uplink::recorded(&record));
            run(&mut rest, &mut ops, Op::remove(asked));
        }
        if is_led_by(&rest, &record) {
            warnings.push(format!("the host's routes lead by {name}, so that it stays an uplink as long as they do"));
            continue;
        }
        for object in down::uplink(&rest, &record) {
            run(&mut rest, &mut ops, Op::remove(object));
        }
    }
    Ok(Plan { ops, mends, warnings, ..Plan::default() })
}

fn run(actual: &mut Actual, ops: &mut Vec<Op>, op: Op) {
    actual.apply(&op);
    ops.push(op);
}

/// The record of the uplink of this name, which no network has for its own.
fn removable<'a>(actual: &'a Actual, name: &str) -> Result<&'a UplinkRecord> {
    let index = actual.host.net.link(name).map(|link| link.index);
    let mut records = actual.records.uplinks.iter();
    let is_it = |record: &&UplinkRecord| match actual.recorded(record.index) {
        Some(_) => Some(record.index) == index,
        None => record.name == name,
    };
    let object = format!("uplink {name}");
    let record = records.find(is_it).ok_or_else(|| {
        Error::new(Kind::NotFound, "remove", object.clone(), "it is none of fwd").remedy("`fwd uplink ls` lists them")
    })?;
    match actual.records.networks.iter().find(|network| network.uplink == record.index) {
        Some(network) => {
            Err(Error::new(Kind::Conflict, "remove", object, format!("network {} leads through it", network.name))
                .remedy("it goes with the last namespace of that network: `fwd ls` lists them"))
        }
        None => Ok(record),
    }
}

/// Whether it would be taken in again at once.
fn is_led_by(actual: &Actual, record: &UplinkRecord) -> bool {
    let followed = Followed::by(&actual.records.networks);
    ways(actual, followed).uplinks.iter().any(|uplink| uplink.index == record.index)
}
