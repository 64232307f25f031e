//! `fwd`: parses, runs, and turns the result into an exit status.

use std::{env, io, process::ExitCode};

use forwarder::{
    cli::{self, Io},
    execute::Unobserved,
};

fn main() -> ExitCode {
    let (mut out, mut err) = (io::stdout(), io::stderr());
    let status = cli::run(env::args_os(), &mut Unobserved, &mut Io::stdio(&mut out, &mut err));
    ExitCode::from(status)
}
