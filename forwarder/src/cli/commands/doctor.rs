//! `fwd doctor`.

use clap::Args;

use crate::{
    Error, Kind, Result,
    cli::session::Session,
    doctor::{self, Examined, Mend, Subject, Verdict},
    execute::Unobserved,
    render::{CheckView, DoctorView, FindingView},
};

/// Examples below the help.
pub(super) const HELP: &str = "\
Each check says what it found, and with what is wrong the command that mends it.
--fix runs those that touch nothing but what is fwd's own: `fwd up` of what is
recorded, `fwd reload`, `fwd gc`. Exits with 1 if a check fails.

Examples:
  fwd doctor
  fwd doctor --fix
  fwd doctor --json | jq -r '.checks[] | select(.verdict == \"fail\") | .check'";

/// `fwd doctor`.
#[derive(Args, Debug)]
pub(crate) struct DoctorArgs {
    /// Mend what is fwd's own, and look again
    #[arg(long)]
    pub(crate) fix: bool,
}

/// Looks at everything, and mends what may be mended.
pub(super) fn run(session: &mut Session<'_, '_>, args: &DoctorArgs) -> Result<()> {
    let context = session.context();
    let mut examined = doctor::examine(&Subject::read(&session.at, &context)?);
    let mut mended = Vec::new();
    if args.fix {
        for mend in mends(&examined) {
            match doctor::mend(&context, &mend, &mut Unobserved) {
                Ok(()) => mended.push(mend.command()),
                // What is still wrong is told all the same.
                Err(error) => session.warn(&[format!("{}: {error}", mend.command())])?,
            }
        }
        examined = doctor::examine(&Subject::read(&session.at, &context)?);
    }
    let failed: Vec<&str> = examined.iter().filter(|it| it.verdict == Verdict::Fail).map(|it| it.check.name).collect();
    let view = DoctorView { ok: failed.is_empty(), mended, checks: examined.iter().map(view).collect() };
    session.emit(&view)?;
    match failed.as_slice() {
        [] => Ok(()),
        failed => {
            let why = format!("{} failed", failed.join(", "));
            let error = Error::new(Kind::Failed, "find", "this host in order", why);
            Err(error.remedy("each failed check names what mends it; `fwd doctor --fix` mends what is fwd's own"))
        }
    }
}

/// What is to be done, each once.
fn mends(examined: &[Examined]) -> Vec<Mend> {
    let mut all: Vec<Mend> = Vec::new();
    for mend in examined.iter().flat_map(|it| &it.findings).filter_map(|finding| finding.mend.clone()) {
        if !all.contains(&mend) {
            all.push(mend);
        }
    }
    all
}

fn view(examined: &Examined) -> CheckView {
    let finding = |finding: &doctor::Finding| FindingView {
        verdict: finding.verdict.name(),
        what: finding.what.clone(),
        commands: finding.commands(),
        fixable: finding.mend.is_some(),
    };
    CheckView {
        check: examined.check.name,
        verdict: examined.verdict.name(),
        looks_at: examined.check.looks_at,
        why: examined.check.why,
        findings: examined.findings.iter().map(finding).collect(),
    }
}
