//! `fwd stats`.

use clap::Args;

use std::collections::BTreeSet;

use crate::{
    Error, Kind, Result,
    cli::{
        args::{TARGETS, TargetArgs},
        session::Session,
        target,
    },
    dataplane::{Described, Stat},
    execute,
    query::{State, flow_table, lost, not_up},
    render::{PlaceView, StatView, StatsView},
};

/// Examples below the help.
pub(super) const HELP: &str = "\
Examples:
  fwd stats          what has happened
  fwd stats --all    every verdict and reason, zero or not
  fwd stats --nat    how full the flow table and the ports are
  fwd stats --json | jq '.[] | select(.verdict == \"dropped\" and .packets > 0)'";

/// `fwd stats`.
#[derive(Args, Debug)]
pub(crate) struct StatsArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    /// Also what never happened
    #[arg(long)]
    pub(crate) all: bool,
    /// What each reason means, and what to do about it
    #[arg(long)]
    pub(crate) explain: bool,
    /// The flow table instead: its use, taken ports, retries in the search for a port
    #[arg(long, conflicts_with_all = ["all", "explain"], conflicts_with_all = TARGETS)]
    pub(crate) nat: bool,
}

/// Shows the counters of every hook of every interface, or of those of one namespace.
pub(super) fn run(session: &mut Session<'_, '_>, args: &StatsArgs) -> Result<()> {
    if args.nat {
        return nat(session);
    }
    let target = target::given(&args.target)?;
    let (mut stats, mut warnings) = (Vec::new(), Vec::new());
    match (State::records(&session.at)?, target) {
        (Some(state), target) => {
            stats.extend(state.plane.stats()?.into_iter().map(|stat| {
                let is_its = |(_, endpoint): &&(u32, Described)| endpoint.metadata.host_if == stat.ifname;
                let endpoint = state.endpoints.iter().find(is_its).map(|(_, endpoint)| endpoint);
                view(stat, endpoint)
            }));
            if let Some(target) = target {
                let found = state.of(&target)?.into_iter();
                let host_ifs: BTreeSet<_> = found.map(|(_, endpoint)| endpoint.metadata.host_if).collect();
                stats.retain(|stat| host_ifs.contains(stat.ifname.exact()));
            }
            // The document is an array of counters.
            if !session.is_json() {
                warnings = super::ls::other_build(&state.plane)?;
                warnings.extend(execute::problems(&state.plane, session.host_name(), None)?);
            }
        }
        (None, Some(target)) => return Err(not_up(&target, None)),
        (None, None) => session.warn(&lost(&session.at)?)?,
    }
    stats.sort_by_cached_key(StatView::sort_key);
    session.emit(&StatsView { stats, all: args.all, explain: args.explain, warnings })
}

/// Shows the flow table.
fn nat(session: &mut Session<'_, '_>) -> Result<()> {
    let view = match session.dataplane()? {
        Some(plane) => flow_table::view(&plane, &plane.occupancy()?)?,
        None => None,
    };
    let missing = || Error::new(Kind::NotFound, "show", "the flow table", "no network with datapath tc is up");
    session.emit(&view.ok_or_else(|| missing().remedy("`fwd up --ns NAME` makes one"))?)
}

/// A counter as it is shown: of the host-side veth of `endpoint`, or of another interface.
pub(super) fn view(stat: Stat, endpoint: Option<&Described>) -> StatView {
    let Stat { ifname, hook, verdict, reason, packets, bytes } = stat;
    StatView {
        ifname: ifname.into(),
        place: endpoint.map(PlaceView::of).unwrap_or_default(),
        hook: hook.into(),
        verdict: verdict.into(),
        reason: reason.map(Into::into),
        packets,
        bytes,
    }
}
