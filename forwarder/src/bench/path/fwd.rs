//! `fwd up`, by the same entry as the command.

use ipnet::Ipv4Net;

use super::{Scale, by_hand::NETWORK};
use crate::{
    Error, Kind, Result,
    bench::Path,
    dataplane::RunDir,
    execute::{self, HostContext, Unobserved},
    lab::Lab,
    netns::{Name, Netns},
    reconcile::{Datapath, TableRequest, TargetRef, UpRequest},
};

/// Namespaces for which the default network has addresses.
const USUAL: usize = 250;
/// Flows that the default table has room for.
const USUAL_FLOWS: usize = 1 << 16;

/// Brings the namespaces up, and returns the last one.
pub(super) fn up(lab: &Lab, path: Path, scale: Scale) -> Result<Netns> {
    let datapath = datapath(path)?;
    // Below the lab's own directory, because the last command removes it.
    let context = HostContext::new(RunDir::new(lab.run_dir().join("run")));
    let mut last = None;
    for number in 0..scale.namespaces.max(1) {
        let name = Name::try_from(lab.name(&format!("c{number}")).as_str())?;
        let request = UpRequest {
            datapath: Some(datapath),
            subnet: subnet(scale.namespaces),
            table: table(scale.flows, number)?,
            ..UpRequest::new(TargetRef::Named(name.clone()))
        };
        lab.host().run(|| execute::up(&context, &request, &mut Unobserved))?;
        last = Some(name);
    }
    let missing = || Error::new(Kind::Usage, "bring up", "a namespace", "there shall be none");
    Netns::open_named(&last.ok_or_else(missing)?)
}

/// The data path by its name on the command line.
fn datapath(path: Path) -> Result<Datapath> {
    match path {
        Path::FwdTc => Ok(Datapath::Tc),
        _ => {
            let name = path.id().trim_start_matches("fwd-");
            let why = "this version of fwd does not have it";
            Err(Error::new(Kind::Unsupported, "use", format!("data path {name}"), why))
        }
    }
}

/// None: the default.
fn subnet(namespaces: usize) -> Option<Ipv4Net> {
    (namespaces > USUAL).then_some(NETWORK)
}

/// A table with room for the flows; decided by the first `up`.
fn table(flows: usize, number: usize) -> Result<TableRequest> {
    if number > 0 || flows <= USUAL_FLOWS / 2 {
        return Ok(TableRequest::default());
    }
    let most = u32::try_from(flows).map_err(|_| {
        Error::new(Kind::Usage, "make", format!("a table of {flows} flows"), "that is more than a table can have")
    })?;
    Ok(TableRequest { max_flows: Some(most), ..TableRequest::default() })
}
