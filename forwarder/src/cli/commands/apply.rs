//! `fwd apply`, and what it shares with `fwd plan` and `fwd restore`.

use clap::Args;

use crate::{
    Result,
    cli::{args::DeclaredArgs, progress::Shown, session::Session},
    config,
    execute::{self, AppliedWhole, Observer},
    reconcile::{Change, Declared, Desired, Scope, partly},
    render::{AppliedView, ChangeView},
};

/// Examples below the help.
pub(super) const HELP: &str = "\
Examples:
  fwd apply -f network.toml            make what the file says; twice changes nothing
  fwd plan -f network.toml             what would become of what
  fwd apply -f base.toml -f web.toml   two files, one whole
  fwd apply --prune                    all of /etc/fwd, and nothing besides
  fwd export > network.toml            what is up, as such a file
  fwd export --json > network.json     the same as JSON, which -f takes as well";

/// `fwd apply`.
#[derive(Args, Debug)]
pub(crate) struct ApplyArgs {
    #[command(flatten)]
    pub(crate) declared: DeclaredArgs,
}

/// Makes what files say.
pub(super) fn run(session: &mut Session<'_, '_>, args: &ApplyArgs, observer: &mut dyn Observer) -> Result<()> {
    let ApplyArgs { declared: DeclaredArgs { files, prune } } = args;
    apply(session, &config::desired(&files.read()?)?, *prune, observer)
}

/// Makes what files say, and tells what became of what.
pub(super) fn apply(
    session: &mut Session<'_, '_>,
    desired: &Desired,
    prune: bool,
    observer: &mut dyn Observer,
) -> Result<()> {
    let terminal = session.err().1;
    let mut shown = Shown::new(observer, terminal);
    let applied = execute::apply(&session.context(), desired, &scope(prune), &mut shown);
    drop(shown);
    let AppliedWhole { changed, changes, left, warnings } = applied?;
    session.warn(&warnings)?;
    let undone = partly("apply", &changes, &left);
    session.emit(&AppliedView { changed, changes: changes.into_iter().map(view).collect() })?;
    undone.map_or(Ok(()), Err)
}

/// What files are about.
pub(super) fn scope(prune: bool) -> Scope {
    Scope { declared: Some(Declared { prune }), ..Scope::default() }
}

/// A change as it is shown.
pub(super) fn view(change: Change) -> ChangeView {
    let Change { kind, network, endpoint, why, what } = change;
    let (ns, ifname) = endpoint.unzip();
    ChangeView {
        change: kind.name(),
        network: network.into(),
        ns: ns.map(Into::into),
        ifname: ifname.map(Into::into),
        why: why.map(Into::into),
        what: what.into_iter().map(Into::into).collect(),
    }
}
