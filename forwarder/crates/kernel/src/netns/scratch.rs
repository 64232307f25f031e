//! A namespace for a moment.

use nix::sched::{CloneFlags, unshare};

use super::{failed, handle::on_thread};
use fwd_base::Result;

/// Runs `f` on a thread in a network namespace of its own: what `f` makes there goes with it, unless something that `f` returns
/// holds the namespace.
///
/// # Errors
/// What `f` returns, or [`Unsupported`](fwd_base::Kind::Unsupported) without CAP_SYS_ADMIN.
pub fn in_scratch<T: Send>(f: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    on_thread(|| {
        unshare(CloneFlags::CLONE_NEWNET).map_err(|errno| failed("create", "a network namespace", errno))?;
        f()
    })
}
