//! Reading a full flow table.

use super::{Flows, Options, Steps, Times, host::Host};
use crate::path;
use fwd_base::{Error, Kind, Result};

/// How often it is read.
pub(super) const READS: usize = 5;

/// Fills a table by real packets and reads it. None if there is no program to read it with.
pub(super) fn read(options: &Options, steps: &mut Steps<'_>) -> Result<Option<Flows>> {
    let wanted = u32::try_from(options.flows).map_err(|_| {
        let why = "that is more than a table can have";
        Error::new(Kind::Usage, "make", format!("a table of {} flows", options.flows), why)
    })?;
    let host = Host::new(options, 1)?.with_flows(wanted);
    steps.next(&format!("making {wanted} flows"))?;
    host.up(0)?;
    path::make_flows(&host.namespace(0)?, options.flows)?;
    let count = host.count_flows()?;
    let (mut taken, mut bytes) = (Vec::new(), 0);
    for _ in 0..READS {
        steps.next("flows --json")?;
        let Some((took, written)) = host.flows()? else { return Ok(None) };
        taken.push(took);
        bytes = written;
    }
    host.down_all()?;
    host.check_clean()?;
    Ok(Times::of(&taken).map(|json| Flows { count, json, bytes }))
}
