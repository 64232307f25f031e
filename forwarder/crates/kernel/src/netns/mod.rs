//! Network namespaces: names, handles, the directory /run/netns, and who is inside.
//!
//! A namespace is opened once and checked; afterwards only its descriptor is used, so that a name given to another
//! namespace, or a process id used anew, cannot redirect what follows.

mod ahead;
mod directory;
mod etc;
mod exec;
mod handle;
mod keeper;
mod list;
pub mod mounts;
mod name;
mod of;
mod processes;
mod publish;
pub mod resolv;
mod scratch;
mod sys;
mod visit;

use std::io;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

pub use ahead::Ahead;
pub use directory::{DIRECTORY, named};
pub use exec::{EXIT_CODES, Failure, OWN_FAILURE, exec};
pub use handle::Netns;
pub use list::{Listed, cookies, cookies_with_names, interfaces, list_all, list_named};
pub use name::{Name, nearest};
pub use of::{Membership, of_pid};
pub use processes::{Process, inhabited};
pub use scratch::in_scratch;

use fwd_base::{Error, Kind};

/// An error of the operating system in context: lacking privilege is told apart, with its remedy.
fn failed(doing: impl Into<String>, object: impl Into<String>, error: impl Into<io::Error>) -> Error {
    let error = error.into();
    if error.kind() == io::ErrorKind::PermissionDenied {
        Error::new(Kind::Unsupported, doing, object, error.to_string())
            .remedy("run it as root: it takes CAP_SYS_ADMIN")
            .caused_by(error)
    } else {
        Error::new(Kind::Failed, doing, object, error.to_string()).caused_by(error)
    }
}

/// Raises the limit of open files, which a shell sets to 1024, as far as this process may: each namespace is held open.
pub fn allow_many_files() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(soft, hard)| if soft < hard { setrlimit(Resource::RLIMIT_NOFILE, hard, hard) } else { Ok(()) });
    if let Err(error) = raised {
        tracing::debug!("raise the limit of open files: {error}");
    }
}
