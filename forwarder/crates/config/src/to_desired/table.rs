//! The flow table as it is asked for.

use crate::{file::Table, source::Source};
use fwd_base::Result;
use fwd_kernel::netns::nearest;
use fwd_plan::{IDLE_TIMES, TableRequest, written};

pub(super) fn asked(source: &Source, table: &Table) -> Result<TableRequest> {
    let Table { nat_ports, max_flows, max_flows_per_ns, timeouts } = table;
    let ports = nat_ports.as_ref().map(|text| {
        let refuse = |why: String| source.refuse(&text.span(), why).remedy("nat-ports = \"1024-29999\"");
        written::nat_ports(text.get_ref()).map_err(refuse)
    });
    let flows = |asked: &Option<toml::Spanned<u64>>| {
        let checked = asked.as_ref().map(|flows| {
            written::flows(*flows.get_ref())
                .map_err(|why| source.refuse(&flows.span(), why).remedy("max-flows = 65536"))
        });
        checked.transpose()
    };
    let mut times = Vec::new();
    for (name, time) in timeouts {
        let idle = written::idle_time(name.get_ref()).map_err(|why| {
            let names = IDLE_TIMES.map(|idle| idle.name);
            source.refuse(&name.span(), why).remedy(match nearest(name.get_ref(), &names) {
                Some(nearest) => format!("did you mean {nearest}?"),
                None => format!("one of {}", names.join(", ")),
            })
        })?;
        let example = format!("{} = \"90s\"", idle.name);
        let seconds =
            written::idle_seconds(time.get_ref()).map_err(|why| source.refuse(&time.span(), why).remedy(example))?;
        times.push((idle.which, seconds));
    }
    Ok(TableRequest {
        nat_ports: ports.transpose()?,
        max_flows: flows(max_flows)?,
        max_flows_per_ns: flows(max_flows_per_ns)?,
        timeouts: times,
    })
}
