//! `fwd down`.

use crate::{
    Result,
    cli::{args::DownArgs, session::Session, target},
    execute::{self, DownResult, Observer},
    reconcile::DownRequest,
    render::DownView,
};

/// Takes down a namespace or everything, or shows what that would take.
pub(in crate::cli) fn run(session: &mut Session<'_, '_>, args: &DownArgs, observer: &mut dyn Observer) -> Result<()> {
    let request = request(args)?;
    if args.dry_run {
        let planned = execute::dry_down(&session.context(), &request)?;
        return session.emit_plan(planned);
    }
    let DownResult { changed, removed, nearest, warnings } = execute::down(&session.context(), &request, observer)?;
    session.warn(&warnings)?;
    let label = request.target.as_ref().map(target::label);
    let removed = removed.into_iter().map(Into::into).collect();
    session.emit(&DownView { label: label.map(Into::into), changed, removed, nearest: nearest.map(Into::into) })
}

/// What the words ask for.
fn request(args: &DownArgs) -> Result<DownRequest> {
    let DownArgs { target, all, delete_ns, dry_run: _ } = args;
    let target = if *all { None } else { Some(target::required(target)?) };
    Ok(DownRequest { target, delete_ns: *delete_ns })
}
