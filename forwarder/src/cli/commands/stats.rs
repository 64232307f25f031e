//! `fwd stats`.

use crate::{
    Error, Kind, Result,
    cli::{args::StatsArgs, session::Session},
    dataplane::Stat,
    execute,
    render::{StatView, StatsView},
};

/// Shows the counters of every hook of every interface.
pub(in crate::cli) fn run(session: &mut Session<'_, '_>, args: &StatsArgs) -> Result<()> {
    if args.nat {
        return nat(session);
    }
    let (mut stats, mut warnings) = (Vec::new(), Vec::new());
    if let Some(plane) = session.dataplane()? {
        stats.extend(plane.stats()?.into_iter().map(view));
        // The document is an array of counters.
        if !session.is_json() {
            warnings = execute::problems(&plane, session.host_name(), None)?;
        }
    }
    stats.sort_by_cached_key(StatView::sort_key);
    session.emit(&StatsView { stats, all: args.all, warnings })
}

/// Shows the flow table.
fn nat(session: &mut Session<'_, '_>) -> Result<()> {
    let view = match session.dataplane()? {
        Some(plane) => super::nat::view(&plane, &plane.occupancy()?)?,
        None => None,
    };
    let missing = || Error::new(Kind::NotFound, "show", "the flow table", "no network with datapath tc is up");
    session.emit(&view.ok_or_else(|| missing().remedy("`fwd up --ns NAME` makes one"))?)
}

/// A counter as it is shown.
pub(super) fn view(stat: Stat) -> StatView {
    let Stat { ifname, hook, verdict, reason, packets, bytes } = stat;
    StatView {
        ifname: ifname.into(),
        hook: hook.into(),
        verdict: verdict.into(),
        reason: reason.map(Into::into),
        packets,
        bytes,
    }
}
