//! `fwd-demo`: fwd at work on a sandboxed host, told as a story. `./x demo` builds and runs it.
//!
//! The host, its uplink and the internet behind it are network namespaces made by [`forwarder::testbed`]; nothing of the
//! machine's own namespace is touched. Everything goes again at the end, also after a failure and after Ctrl-C.

mod containers;
mod latency;
mod scenes;
mod story;

use std::{
    env,
    path::{Path, PathBuf},
    process::ExitCode,
};

use forwarder::{Context as _, Error, Kind, Result};

use crate::story::Story;

const HELP: &str = "\
Shows fwd at work on a sandboxed host, and takes everything away again.

Usage: fwd-demo

  FWD_BIN   the fwd to show [default: the one beside fwd-demo]
  NO_COLOR  no colours";

fn main() -> ExitCode {
    if let Some(argument) = env::args().nth(1) {
        if matches!(argument.as_str(), "-h" | "--help") {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        eprintln!("fwd-demo: unexpected argument {argument}\n{HELP}");
        return ExitCode::from(Kind::Usage.exit_code());
    }
    let mut story = Story::stdout();
    match fwd().and_then(|fwd| scenes::tell(&mut story, &fwd)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            story.failed(&error);
            ExitCode::FAILURE
        }
    }
}

/// The program to show.
fn fwd() -> Result<PathBuf> {
    if !nix::unistd::geteuid().is_root() {
        return Err(
            Error::new(Kind::Unsupported, "run", "the demo", "only root may make namespaces").remedy("sudo ./x demo")
        );
    }
    let fwd = match env::var_os("FWD_BIN") {
        Some(path) => PathBuf::from(path),
        None => env::current_exe().doing("find", "fwd")?.with_file_name("fwd"),
    };
    if Path::new(&fwd).is_file() {
        return Ok(fwd);
    }
    Err(Error::new(Kind::NotFound, "find", fwd.display().to_string(), "there is no such file")
        .remedy("cargo build --release, or set FWD_BIN"))
}
