//! `fwd exec`.

use crate::{
    cli::{args::ExecArgs, target},
    execute,
    netns::{self, Failure},
};

/// Exit status of fwd's own failures, as docker has it.
pub(in crate::cli) const OWN_FAILURE: u8 = 125;

/// Becomes the command; returns why that failed.
pub(in crate::cli) fn run(args: &ExecArgs) -> Failure {
    let (args, command) = args.split();
    let opened = target::required(&args).and_then(|target| Ok((execute::open_target(&target)?, target)));
    match opened {
        Ok((ns, target)) => netns::exec(&ns, target.name(), &command),
        Err(error) => Failure { status: OWN_FAILURE, error },
    }
}
