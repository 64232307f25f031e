//! Waiting for something to become true, with a deadline.

use std::{
    env,
    sync::LazyLock,
    thread,
    time::{Duration, Instant},
};

use fwd_base::{Error, Kind, Result};

/// Pause between two looks.
const INTERVAL: Duration = Duration::from_millis(5);

/// By how many times longer is waited than was said: the variable `FWD_PATIENCE`, where machines are slow because they are emulated.
static PATIENCE: LazyLock<u32> =
    LazyLock::new(|| env::var("FWD_PATIENCE").ok().and_then(|times| times.parse().ok()).unwrap_or(1));

/// How long to wait here for what takes `limit` at most on a machine that is not emulated.
#[must_use]
pub fn patience(limit: Duration) -> Duration {
    limit * *PATIENCE
}

/// Looks until `probe` finds something, and returns it.
///
/// # Errors
/// What `probe` fails with, and `what` not having happened within `limit`.
pub fn wait_until<T>(limit: Duration, what: &str, mut probe: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let limit = patience(limit);
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = probe()? {
            return Ok(found);
        }
        if Instant::now() >= deadline {
            let why = format!("it did not happen within {limit:?}");
            return Err(Error::new(Kind::Failed, "wait until", what, why));
        }
        thread::sleep(INTERVAL);
    }
}
