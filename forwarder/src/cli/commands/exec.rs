//! `fwd exec`.

use crate::{
    Error,
    cli::{args::ExecArgs, target::Target},
    netns::{self, Failure},
};

/// Exit status of fwd's own failures, as docker has it.
pub(in crate::cli) const OWN_FAILURE: u8 = 125;

/// Becomes the command; returns why that failed.
pub(in crate::cli) fn run(args: &ExecArgs) -> Failure {
    let own = |error: Error| Failure { status: OWN_FAILURE, error };
    let target = match Target::given(&args.target) {
        Ok(Some(target)) => target,
        // clap asks for one; without it, the command could only run where it is.
        Ok(None) => return own(Error::new(crate::Kind::Usage, "run", "the command", "no namespace is given")),
        Err(error) => return own(error),
    };
    match target.open() {
        Ok(ns) => netns::exec(&ns, target.name(), &args.command),
        Err(error) => own(error),
    }
}
