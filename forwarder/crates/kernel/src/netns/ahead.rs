//! Namespaces that are made before they are needed.

use std::{
    sync::mpsc::{Receiver, sync_channel},
    thread::{self, JoinHandle},
};

use super::{Netns, failed};
use fwd_base::Result;

/// So many wait to be taken at most: each is there for nothing if the command ends before.
const WAITING: usize = 8;

/// Makes namespaces without a name on a thread of its own, while others are set up: the kernel takes about a millisecond for each.
///
/// Those that nobody takes go with it, and so does the thread.
#[derive(Debug)]
pub struct Ahead {
    made: Option<Receiver<Result<Netns>>>,
    thread: Option<JoinHandle<()>>,
}

impl Ahead {
    /// Begins to make `count` of them.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn start(count: usize) -> Result<Self> {
        let (give, made) = sync_channel(WAITING);
        // It ends with the first that nobody is there to take.
        let make = move || _ = (0..count).try_for_each(|_| give.send(Netns::nameless()));
        let started = thread::Builder::new().name("netns".into()).spawn(make);
        let thread = started.map_err(|error| failed("start", "a thread that makes network namespaces", error))?;
        Ok(Self { made: Some(made), thread: Some(thread) })
    }

    /// The next one.
    ///
    /// # Errors
    /// As [`Netns::nameless`].
    pub fn take(&self) -> Result<Netns> {
        let made = self.made.as_ref().and_then(|made| made.recv().ok());
        made.unwrap_or_else(Netns::nameless)
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        drop(self.made.take());
        // A panic of its own has been told, and harms nobody.
        drop(self.thread.take().map(JoinHandle::join));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use fwd_base::Kind;

    #[test]
    fn each_is_another_and_there_are_always_more() {
        let ahead = Ahead::start(WAITING + 2).expect("a thread");
        let made: Result<Vec<Netns>> = (0..WAITING + 4).map(|_| ahead.take()).collect();
        match made {
            Ok(made) => {
                let cookies: BTreeSet<u64> = made.iter().map(|netns| netns.cookie().expect("it is known")).collect();
                assert_eq!(cookies.len(), made.len());
                let here = Netns::current().expect("/proc is mounted").cookie().expect("it is known");
                assert!(!cookies.contains(&here));
            }
            // Without the right to make one.
            Err(error) => assert_eq!(error.kind, Kind::Unsupported, "{error}"),
        }
    }
}
