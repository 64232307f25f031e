//! `fwd down`.

use std::{
    thread,
    time::{Duration, Instant},
};

use clap::Args;

use crate::{
    Result,
    cli::{
        args::{TargetArgs, one_of_them},
        session::Session,
        target,
    },
    dataplane::{OrphanedProgram, orphans},
    execute::{self, DownResult, Observer},
    netlink::Netlink,
    reconcile::{DownRequest, is_made},
    render::DownView,
};

/// Examples below the help.
pub(super) const HELP: &str = "\
Examples:
  fwd down --ns mynet                the namespace goes too if `up` made it
  fwd down --ns mynet --delete-ns    it goes even if somebody else made it
  fwd down --all --dry-run           only show what would be done";

/// `fwd down`.
#[derive(Args, Debug)]
#[command(group = one_of_them().arg("all"))]
pub(crate) struct DownArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    /// Only the endpoint with this interface inside; without it, all of the namespace
    #[arg(long, value_name = "IFACE", conflicts_with_all = ["all", "delete_ns"])]
    pub(crate) ifname: Option<String>,
    /// Every endpoint of every network
    #[arg(long)]
    pub(crate) all: bool,
    /// Delete the namespace even if `up` did not make it
    #[arg(long)]
    pub(crate) delete_ns: bool,
    /// Print the operations and their equivalent commands; change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Takes down a namespace or everything, or shows what that would take.
pub(super) fn run(session: &mut Session<'_, '_>, args: &DownArgs, observer: &mut dyn Observer) -> Result<()> {
    let (request, all) = (request(args)?, &args.all);
    if args.dry_run {
        let planned = execute::dry_down(&session.context(), &request)?;
        return session.emit_plan(planned);
    }
    let DownResult { changed, removed, nearest, warnings } = execute::down(&session.context(), &request, observer)?;
    session.warn(&warnings)?;
    if *all {
        session.warn(&still_attached(session)?)?;
    }
    let label = request.target.as_ref().map(|target| match &request.ifname {
        Some(ifname) => format!("{} of {}", ifname, target.label()),
        None => target.label(),
    });
    let removed = removed.into_iter().map(Into::into).collect();
    session.emit(&DownView { label: label.map(Into::into), changed, removed, nearest: nearest.map(Into::into) })
}

/// What the words ask for.
fn request(args: &DownArgs) -> Result<DownRequest> {
    let DownArgs { target, ifname, all, delete_ns, dry_run: _ } = args;
    let target = if *all { None } else { Some(target::required(target)?) };
    Ok(DownRequest { target, ifname: ifname.clone(), delete_ns: *delete_ns, ..DownRequest::default() })
}

/// What to say of programs that are attached although nothing is up.
fn still_attached(session: &Session<'_, '_>) -> Result<Vec<String>> {
    let links = Netlink::here()?.links()?;
    // Another run directory of this host has programs of these names, too.
    if session.dataplane()?.is_some() || links.iter().any(is_made) {
        return Ok(Vec::new());
    }
    let text = |OrphanedProgram { ifname, program, id }| {
        format!(
            "program {program} (id {id}) is still attached to {ifname}: its link is pinned in a copy of the bpffs, in another mount \
             namespace. `bpftool link detach id N` takes it off, with N from the line with prog {id} of `bpftool link show`"
        )
    };
    Ok(lasting(|| orphans(&links))?.into_iter().map(text).collect())
}

/// What is still there when the kernel has had the time to let go of it: a link whose last pin and descriptor have gone is detached later, by a worker.
fn lasting(orphans: impl Fn() -> Result<Vec<OrphanedProgram>>) -> Result<Vec<OrphanedProgram>> {
    const LIMIT: Duration = Duration::from_secs(2);
    const PAUSE: Duration = Duration::from_millis(20);
    let deadline = Instant::now() + LIMIT;
    loop {
        let found = orphans()?;
        if found.is_empty() || Instant::now() >= deadline {
            return Ok(found);
        }
        thread::sleep(PAUSE);
    }
}
