//! A moment in another namespace.

use std::os::fd::OwnedFd;

use nix::{
    fcntl::{OFlag, open},
    sched::{CloneFlags, setns, unshare},
    sys::stat::Mode,
};

use super::{Netns, failed, handle::on_thread};
use fwd_base::Result;

/// The namespace of the calling thread, to which it may return.
struct Home(OwnedFd);

impl Home {
    /// None if the thread may leave it, but not come back: where it is another user's.
    fn note() -> Option<Self> {
        let home = open("/proc/thread-self/ns/net", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()).ok()?;
        setns(&home, CloneFlags::CLONE_NEWNET).ok()?;
        Some(Self(home))
    }

    /// Runs `f` after the thread has left, and returns.
    fn after<T>(self, f: impl FnOnce() -> T) -> T {
        let _back = Return(self);
        f()
    }
}

/// Returns when it is dropped.
struct Return(Home);

impl Drop for Return {
    fn drop(&mut self) {
        let Home(home) = &self.0;
        if let Err(errno) = setns(home, CloneFlags::CLONE_NEWNET) {
            // Whatever came next would be done to another namespace than the one that was meant. What is ended here the next command
            // completes, as if it had been killed.
            tracing::error!("cannot return to the network namespace that was left: {errno}");
            std::process::abort();
        }
    }
}

impl Netns {
    /// Runs `f` inside the namespace on the calling thread, which returns afterwards. For what takes microseconds, such as to make a socket: a
    /// thread of its own, as [`run`](Self::run) has it, takes hundreds of them to start and to end.
    ///
    /// # Errors
    /// What `f` returns, or that the namespace cannot be entered.
    pub fn visit<T: Send>(&self, f: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let Some(home) = Home::note() else { return self.run(f) };
        self.enter()?;
        home.after(|| {
            self.learn_cookie();
            f()
        })
    }

    /// A new namespace without a name, which goes with the handle.
    ///
    /// # Errors
    /// [`Kind::Unsupported`](fwd_base::Kind::Unsupported) without CAP_SYS_ADMIN.
    pub fn nameless() -> Result<Self> {
        let leave =
            || unshare(CloneFlags::CLONE_NEWNET).map_err(|errno| failed("create", "a network namespace", errno));
        let Some(home) = Home::note() else { return on_thread(|| leave().and_then(|()| Self::current())) };
        leave()?;
        home.after(Self::current)
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;
    use fwd_base::{Error, Kind};

    fn is_at(netns: &Netns) -> bool {
        Netns::current().expect("/proc is mounted").is_same(netns).expect("both are open")
    }

    #[test]
    fn visitor_returns_whatever_happens() {
        let home = Netns::current().expect("/proc is mounted");
        let other = match Netns::nameless() {
            Ok(made) => made,
            // Without the right to enter another one.
            Err(error) => {
                assert_eq!(error.kind, Kind::Unsupported, "{error}");
                assert!(is_at(&home));
                return;
            }
        };
        assert!(is_at(&home) && !other.is_same(&home).expect("both are open"));
        assert!(other.visit(|| Ok(is_at(&other) && !is_at(&home))).expect("it can be entered"));
        let refused = other.visit(|| Err::<(), _>(Error::new(Kind::Failed, "do", "something", "it fails")));
        assert!(refused.is_err() && is_at(&home));
        let panicked = catch_unwind(AssertUnwindSafe(|| other.visit(|| -> Result<()> { panic!("on purpose") })));
        assert!(panicked.is_err() && is_at(&home));
    }
}
