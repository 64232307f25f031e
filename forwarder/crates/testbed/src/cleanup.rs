//! Cleanups that run whatever ends the process, short of SIGKILL.
//!
//! Each is run once: when its [`Cleanup`] is dropped, or on SIGINT, SIGTERM and SIGHUP, newest first. The first registration
//! starts a thread that waits for those signals, so a process that makes no testbed stays single-threaded.
//!
//! A signal ends the process only when every cleanup is done, and until then nothing else does: other threads that come to
//! drop a cleanup, because what they work with was taken away, wait for the end.
//!
//! Whoever has something to show first takes an [`Interrupt`]: the first signal then only tells it.

use std::{
    collections::BTreeMap,
    sync::{Condvar, Mutex, MutexGuard, Once, PoisonError},
    thread,
};

use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
    low_level::emulate_default_handler,
};

type Action = Box<dyn FnOnce() + Send>;

/// Name of the thread that waits for signals.
const SIGNALS: &str = "signals";

static REGISTRY: Mutex<Registry> = Mutex::new(Registry {
    next: 0,
    deferred: false,
    first: None,
    signalled: false,
    closing: false,
    running: 0,
    cleanups: BTreeMap::new(),
});
/// The thread that waits for signals is started once.
static WATCH: Once = Once::new();
/// A cleanup has come to its end.
static DONE: Condvar = Condvar::new();

struct Registry {
    next: u64,
    /// An [`Interrupt`] wants to know of the first signal.
    deferred: bool,
    /// The signal that it was told.
    first: Option<i32>,
    /// A signal has come: its thread runs the cleanups that are left, then ends the process.
    signalled: bool,
    /// A signal has come and everything registered before is gone.
    closing: bool,
    /// Cleanups that other threads than the signal's are running.
    running: usize,
    /// By age.
    cleanups: BTreeMap<u64, Action>,
}

/// Runs its cleanup when dropped, unless a signal did.
#[must_use = "the cleanup runs when this is dropped"]
pub struct Cleanup(u64);

impl Drop for Cleanup {
    fn drop(&mut self) {
        let mut registry = registry();
        if registry.signalled {
            drop(registry);
            return await_end();
        }
        let Some(cleanup) = registry.cleanups.remove(&self.0) else { return };
        registry.running += 1;
        // A cleanup may take long.
        drop(registry);
        let _running = Running;
        cleanup();
    }
}

/// Asks for a moment before a signal ends the process. There is one at a time.
#[derive(Debug)]
#[must_use = "without it a signal ends the process at once"]
pub struct Interrupt(());

impl Interrupt {
    /// From now on the first signal only makes [`signal`](Self::signal) say so. A second one ends the process, as without.
    pub fn await_first() -> Self {
        WATCH.call_once(watch_signals);
        let mut registry = registry();
        (registry.deferred, registry.first) = (true, None);
        Self(())
    }

    /// The signal that has come.
    #[must_use]
    pub fn signal(&self) -> Option<i32> {
        registry().first
    }
}

impl Drop for Interrupt {
    fn drop(&mut self) {
        registry().deferred = false;
    }
}

/// A cleanup that is being run, also if it panics.
struct Running;

impl Drop for Running {
    fn drop(&mut self) {
        registry().running -= 1;
        DONE.notify_all();
    }
}

/// Returns only on the thread that will end the process.
fn await_end() {
    while thread::current().name() != Some(SIGNALS) {
        thread::park();
    }
}

/// Registers a cleanup. It must be fit to run on another thread while the rest of the process goes on.
pub fn on_exit(cleanup: impl FnOnce() + Send + 'static) -> Cleanup {
    WATCH.call_once(watch_signals);
    let mut registry = registry();
    let id = registry.next;
    registry.next += 1;
    if registry.closing {
        drop(registry);
        cleanup();
    } else {
        registry.cleanups.insert(id, Box::new(cleanup));
    }
    Cleanup(id)
}

fn registry() -> MutexGuard<'static, Registry> {
    // A cleanup never runs under the lock, so a panic leaves the map whole.
    REGISTRY.lock().unwrap_or_else(PoisonError::into_inner)
}

fn watch_signals() {
    let mut signals = match Signals::new([SIGINT, SIGTERM, SIGHUP]) {
        Ok(signals) => signals,
        Err(error) => return tracing::warn!("Ctrl-C will leave the testbed behind: {error}"),
    };
    let watch = move || {
        if let Some(signal) = signals.forever().find(|signal| !is_told(*signal)) {
            run_all();
            // Dies of the signal, so that the parent sees why.
            if let Err(error) = emulate_default_handler(signal) {
                tracing::warn!("cannot end on signal {signal}: {error}");
            }
        }
    };
    if let Err(error) = thread::Builder::new().name(SIGNALS.into()).spawn(watch) {
        tracing::warn!("Ctrl-C will leave the testbed behind: {error}");
    }
}

/// Tells an [`Interrupt`] of the first signal, if there is one.
fn is_told(signal: i32) -> bool {
    let mut registry = registry();
    let told = registry.deferred && registry.first.is_none();
    if told {
        registry.first = Some(signal);
    }
    told
}

fn run_all() {
    registry().signalled = true;
    loop {
        let newest = {
            let mut registry = registry();
            let newest = registry.cleanups.pop_last();
            registry.closing = newest.is_none();
            newest
        };
        match newest {
            Some((_, cleanup)) => cleanup(),
            None => break,
        }
    }
    let others = DONE.wait_while(registry(), |registry| registry.running > 0);
    drop(others.unwrap_or_else(PoisonError::into_inner));
}
