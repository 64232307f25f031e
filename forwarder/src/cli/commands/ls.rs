//! `fwd ls`.

use clap::Args;

use crate::{
    Result,
    cli::{
        args::{TARGETS, TargetArgs},
        session::Session,
        target,
    },
    dataplane::{Dataplane, Programs, TracedBy},
    execute::{self, KnownHost},
    netns,
    query::{State, flow_table, lost, not_up},
    render::{HostView, LsView},
};

/// Examples below the help.
pub(super) const HELP: &str = "\
Examples:
  fwd ls
  fwd ls --json | jq -r '.[] | [.ns, .addresses[0]] | @tsv'";

/// `fwd ls`.
#[derive(Args, Debug)]
pub(crate) struct LsArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    /// Instead, every host whose pins are in the run directory, also those that are gone
    #[arg(long, conflicts_with_all = TARGETS)]
    pub(crate) all_hosts: bool,
}

/// Lists the endpoints, by network.
pub(super) fn run(session: &mut Session<'_, '_>, args: &LsArgs) -> Result<()> {
    if args.all_hosts {
        return hosts(session);
    }
    let target = target::given(&args.target)?;
    let state = State::read(&session.at)?;
    let others = Dataplane::other_versions(&session.at.run_dir, session.at.host.cookie()?)?;
    session.warn(&others.iter().map(|name| other_version(name)).collect::<Vec<_>>())?;
    if others.is_empty() {
        session.warn(&lost(&session.at)?)?;
    }
    session.warn(&state.as_ref().map(|state| other_build(&state.plane)).transpose()?.unwrap_or_default())?;
    session.warn(&state.as_ref().map(State::unreadable).unwrap_or_default())?;
    if let Some(state) = &state {
        session.warn(&state.name_server_problems(&session.context(), session.at.host.cookie()?, None)?)?;
    }
    let view = match (state, target) {
        (Some(mut state), target) => {
            let mut empty = state.network_views()?;
            empty.retain(|network| network.endpoints == 0 && target.is_none());
            if let Some(target) = target {
                state.endpoints = state.of(&target)?;
            }
            let endpoints = state.endpoints.clone();
            state.count_flows(&endpoints)?;
            LsView { endpoints: state.views()?, empty, nat: flow_table::view(&state.plane, &state.occupancy)? }
        }
        (None, Some(target)) => return Err(not_up(&target, None)),
        (None, None) => LsView { endpoints: Vec::new(), empty: Vec::new(), nat: None },
    };
    session.emit(&view)
}

/// Lists the hosts of the run directory.
fn hosts(session: &mut Session<'_, '_>) -> Result<()> {
    let (own, mut names) = (session.at.host.cookie()?, netns::cookies_with_names()?);
    let view = |host: KnownHost| {
        let KnownHost { cookie, exists, versions, networks, endpoints, memory } = host;
        let names = names.remove(&cookie);
        // A namespace that can be found is there, whatever its pins say.
        let exists = exists.or(names.is_some().then_some(true));
        let names = names.unwrap_or_default().into_iter().map(Into::into).collect();
        HostView { cookie, this: cookie == own, names, exists, versions, networks, endpoints, memory_bytes: memory }
    };
    let hosts: Vec<_> = execute::hosts(&session.context())?.into_iter().map(view).collect();
    session.emit(&hosts)
}

fn other_version(name: &str) -> String {
    format!(
        "what another version of fwd brought up (layout {name}) is not shown: `fwd reload` takes it over, `fwd down --all` takes it down"
    )
}

/// What to say of programs that another build has loaded, or a trace that goes on or was killed.
pub(super) fn other_build(plane: &Dataplane) -> Result<Vec<String>> {
    let text = match plane.programs()? {
        Some(Programs { traced: Some(TracedBy { pid, alive: true }), .. }) => {
            format!("a trace (pid {pid}) goes on: meanwhile the programs are traced ones, and slower")
        }
        Some(Programs { traced: Some(TracedBy { alive: false, .. }), .. }) => {
            "the programs are those of a trace that was killed, and slower: `fwd reload` replaces them, under traffic"
                .into()
        }
        Some(Programs { current: false, .. }) => {
            "the programs in the kernel are of another build of fwd: `fwd reload` replaces them, under traffic".into()
        }
        Some(_) | None => return Ok(Vec::new()),
    };
    Ok(vec![text])
}
