//! Cleanups that run whatever ends the process, short of SIGKILL.
//!
//! Each is run once: when its [`Guard`] is dropped, or on SIGINT, SIGTERM and SIGHUP, newest first. The first registration
//! starts a thread that waits for those signals, so a process that makes no lab stays single-threaded.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, Once, PoisonError},
    thread,
};

use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
    low_level::emulate_default_handler,
};

type Cleanup = Box<dyn FnOnce() + Send>;

static REGISTRY: Mutex<Registry> = Mutex::new(Registry { next: 0, closing: false, cleanups: BTreeMap::new() });

struct Registry {
    next: u64,
    /// A signal has come and everything registered before is gone.
    closing: bool,
    /// By age.
    cleanups: BTreeMap<u64, Cleanup>,
}

/// Runs its cleanup when dropped, unless a signal did.
#[must_use = "the cleanup runs when this is dropped"]
pub struct Guard(u64);

impl Drop for Guard {
    fn drop(&mut self) {
        let cleanup = registry().cleanups.remove(&self.0);
        // The lock is released: a cleanup may take long.
        if let Some(cleanup) = cleanup {
            cleanup();
        }
    }
}

/// Registers a cleanup. It must be fit to run on another thread while the rest of the process goes on.
pub fn on_exit(cleanup: impl FnOnce() + Send + 'static) -> Guard {
    static WATCH: Once = Once::new();
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
    Guard(id)
}

fn registry() -> MutexGuard<'static, Registry> {
    // A cleanup never runs under the lock, so a panic leaves the map whole.
    REGISTRY.lock().unwrap_or_else(PoisonError::into_inner)
}

fn watch_signals() {
    let mut signals = match Signals::new([SIGINT, SIGTERM, SIGHUP]) {
        Ok(signals) => signals,
        Err(error) => return tracing::warn!("Ctrl-C will leave the lab behind: {error}"),
    };
    thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            run_all();
            // Dies of the signal, so that the parent sees why.
            if let Err(error) = emulate_default_handler(signal) {
                tracing::warn!("cannot end on signal {signal}: {error}");
            }
        }
    });
}

fn run_all() {
    loop {
        let newest = {
            let mut registry = registry();
            let newest = registry.cleanups.pop_last();
            registry.closing = newest.is_none();
            newest
        };
        match newest {
            Some((_, cleanup)) => cleanup(),
            None => return,
        }
    }
}
