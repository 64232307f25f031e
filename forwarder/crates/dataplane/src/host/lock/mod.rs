//! One writer per host namespace. Who wants to be one takes a ticket and waits for those before him: in that order, and without
//! asking again and again. Readers take none.
//!
//! A ticket is a file with a number higher than all others, locked (flock) by its owner. Who waits, waits for the lock of the ticket
//! before his own; the kernel releases it when its owner is done or dead. So nobody is passed over, whoever dies.

mod gate;

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use nix::fcntl::{Flock, FlockArg};

pub(crate) use self::gate::Gate;
use self::gate::flock;
use crate::RunDir;
use fwd_base::{Cause, Context as _, Error, Kind, Result};

/// How long it may take at least to get into the queue.
const ENTERING: Duration = Duration::from_secs(2);
/// How long the way out may take, which only removes what is empty.
const LEAVING: Duration = Duration::from_secs(2);

/// Held while a command changes the host namespace.
#[derive(Debug)]
pub struct Lock {
    run_dir: RunDir,
    ticket: Ticket,
    _locked: Flock<File>,
}

/// A place in the queue: `NUMBER-PID`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Ticket {
    number: u64,
    pid: u32,
    path: PathBuf,
}

impl Lock {
    /// Waits for the lock as long as the queue moves on: until somebody has held it for longer than `deadline`.
    ///
    /// # Errors
    /// Somebody has; the error names them.
    pub fn acquire(run_dir: &RunDir, cookie: u64, deadline: Duration) -> Result<Self> {
        let queue = run_dir.lock(cookie);
        let (ticket, locked) = enqueue(run_dir, &queue, Instant::now() + deadline.max(ENTERING))?;
        let lock = Self { run_dir: run_dir.clone(), ticket, _locked: locked };
        let mut holder = lock.holder(&queue);
        while let Some(before) = lock.ahead(&queue)? {
            if before.await_end(Instant::now() + deadline)? {
                continue;
            }
            let now = lock.holder(&queue);
            if now.is_some() && now == holder {
                return Err(lock.gives_up(&queue, deadline));
            }
            holder = now;
        }
        Ok(lock)
    }

    /// The ticket right before this one.
    fn ahead(&self, queue: &Path) -> Result<Option<Ticket>> {
        Ok(tickets(queue)?.into_iter().rfind(|ticket| ticket.number < self.ticket.number))
    }

    /// Those before this one, of which the first holds the lock.
    fn before(&self, queue: &Path) -> impl Iterator<Item = Ticket> + use<'_> {
        let tickets = tickets(queue).unwrap_or_default().into_iter();
        tickets.filter(|ticket| ticket.number < self.ticket.number && ticket.is_held())
    }

    fn holder(&self, queue: &Path) -> Option<Ticket> {
        self.before(queue).next()
    }

    /// Who has waited for too long says for whom.
    fn gives_up(&self, queue: &Path, deadline: Duration) -> Error {
        let mut before = self.before(queue);
        let holder = before.next().map_or_else(|| "another fwd".into(), |ticket| format!("pid {}", ticket.pid));
        let others = match before.count() {
            0 => String::new(),
            1 => ", and another command waits for it".into(),
            others => format!(", and {others} other commands wait for it"),
        };
        let why = format!("{holder} has held it for {deadline:?} or longer{others}");
        Error::new(Kind::Failed, "lock", format!("the host (queue {})", queue.display()), why)
            .because(Cause::Locked)
            .remedy("wait until that command is done, or end it")
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let gone = |what: &Path, result: io::Result<()>| {
            if let Err(error) = result {
                tracing::trace!("{} stays: {error}", what.display());
            }
        };
        gone(&self.ticket.path, fs::remove_file(&self.ticket.path));
        // The directories go with the last file in them: not while somebody is about to put one there.
        match Gate::enter_if_there(&self.run_dir, Instant::now() + LEAVING) {
            // Whoever came behind has ended, and taken them away.
            Ok(None) => {}
            Ok(Some(_gate)) => {
                let queue = self.ticket.path.parent();
                for dir in queue.into_iter().chain([self.run_dir.path()]) {
                    gone(dir, fs::remove_dir(dir));
                }
            }
            Err(error) => tracing::debug!("{error}"),
        }
    }
}

/// Takes the next ticket.
fn enqueue(run_dir: &RunDir, queue: &Path, end: Instant) -> Result<(Ticket, Flock<File>)> {
    let _gate = Gate::enter(run_dir, end)?;
    match fs::DirBuilder::new().mode(0o700).create(queue) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(cannot_queue(queue, error)),
        _ => {}
    }
    let last = tickets(queue)?.last().map_or(0, |ticket| ticket.number);
    let (number, pid) = (last + 1, std::process::id());
    let path = queue.join(format!("{number}-{pid}"));
    let flags = libc::O_NOFOLLOW | libc::O_CLOEXEC;
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).custom_flags(flags).open(&path);
    let file = file.map_err(|error| cannot_queue(&path, error))?;
    // Nobody else can have it yet.
    let locked = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| errno);
    Ok((Ticket { number, pid, path: path.clone() }, locked.doing("lock", path.display().to_string())?))
}

fn cannot_queue(path: &Path, error: io::Error) -> Error {
    let failure = Error::new(Kind::Failed, "create", path.display().to_string(), error.to_string());
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            failure.remedy("make room: the file system has no place for an empty file").caused_by(error)
        }
        _ => failure
            .remedy("choose a directory where files can be made, such as /run/fwd, with --run-dir")
            .caused_by(error),
    }
}

/// All tickets, in order.
fn tickets(queue: &Path) -> Result<Vec<Ticket>> {
    let entries = fs::read_dir(queue).doing("list", queue.display().to_string())?;
    let mut tickets: Vec<Ticket> = entries.flatten().filter_map(|entry| Ticket::read(&entry.path())).collect();
    tickets.sort();
    Ok(tickets)
}

impl Ticket {
    fn read(path: &Path) -> Option<Self> {
        let (number, pid) = path.file_name()?.to_str()?.split_once('-')?;
        Some(Self { number: number.parse().ok()?, pid: pid.parse().ok()?, path: path.into() })
    }

    fn open(&self) -> Result<Option<File>> {
        match File::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            file => file.map(Some).doing("open", self.path.display().to_string()),
        }
    }

    /// Waits until its owner is done or dead; false if that takes longer than until `end`.
    fn await_end(&self, end: Instant) -> Result<bool> {
        let Some(file) = self.open()? else { return Ok(true) };
        let Some(_ended) = flock(file, FlockArg::LockShared, end).doing("wait for", self.path.display().to_string())?
        else {
            return Ok(false);
        };
        // One whose owner is dead is left over.
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).doing("remove", self.path.display().to_string())
            }
            _ => Ok(true),
        }
    }

    /// Whether its owner lives.
    fn is_held(&self) -> bool {
        let Ok(Some(file)) = self.open() else { return false };
        Flock::lock(file, FlockArg::LockSharedNonblock).is_err()
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc::channel, thread};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    fn run_dir() -> (tempfile::TempDir, RunDir) {
        let dir = tempfile::tempdir().unwrap();
        let run_dir = RunDir::new(dir.path().join("run"));
        (dir, run_dir)
    }

    #[test]
    fn way_out_makes_no_run_directory() {
        let (_dir, run_dir) = run_dir();
        assert!(Gate::enter_if_there(&run_dir, Instant::now() + LIMIT).unwrap().is_none());
        assert!(!run_dir.path().exists());
        run_dir.create().unwrap();
        assert!(Gate::enter_if_there(&run_dir, Instant::now() + LIMIT).unwrap().is_some());
    }

    #[test]
    fn second_holder_is_refused_and_the_first_is_named() {
        let (_dir, run_dir) = run_dir();
        let first = Lock::acquire(&run_dir, 7, Duration::ZERO).unwrap();
        let refused = Lock::acquire(&run_dir, 7, Duration::ZERO).unwrap_err();
        assert!(refused.why.contains(&format!("pid {} has held it", std::process::id())), "{refused}");
        drop(Lock::acquire(&run_dir, 8, Duration::ZERO).unwrap());
        drop(first);
        drop(Lock::acquire(&run_dir, 7, Duration::ZERO).unwrap());
        assert!(!run_dir.path().exists());
    }

    #[test]
    fn hundred_that_wait_have_their_turns_in_the_order_in_which_they_came() {
        let (_dir, run_dir) = run_dir();
        let queued = |count: usize| {
            let end = Instant::now() + LIMIT;
            while tickets(&run_dir.lock(7)).map_or(0, |tickets| tickets.len()) < count {
                assert!(Instant::now() < end, "{count} do not wait");
                thread::yield_now();
            }
        };
        let first = Lock::acquire(&run_dir, 7, LIMIT).unwrap();
        let (sender, turns) = channel();
        thread::scope(|scope| {
            for number in 0..100 {
                let (sender, run_dir) = (sender.clone(), run_dir.clone());
                scope.spawn(move || {
                    let _lock = Lock::acquire(&run_dir, 7, LIMIT).unwrap();
                    sender.send(number).unwrap();
                });
                queued(number + 2);
            }
            drop((first, sender));
            assert!(turns.iter().eq(0..100));
        });
        assert!(!run_dir.path().exists());
    }

    #[test]
    fn who_gives_up_or_dies_lets_the_next_one_pass_in_order() {
        let (_dir, run_dir) = run_dir();
        let first = Lock::acquire(&run_dir, 7, LIMIT).unwrap();
        let queue = run_dir.lock(7);
        // A ticket whose owner was killed, and one whose owner waits and gives up.
        File::create(queue.join("2-1")).unwrap();
        let refused = Lock::acquire(&run_dir, 7, Duration::from_millis(1)).unwrap_err();
        assert!(refused.why.contains(&format!("pid {} has held it", std::process::id())), "{refused}");
        thread::scope(|scope| {
            let waiting = scope.spawn(|| Lock::acquire(&run_dir, 7, LIMIT).map(drop));
            drop(first);
            waiting.join().unwrap().unwrap();
        });
        assert!(!run_dir.path().exists(), "{:?}", tickets(&queue));
    }

    #[test]
    fn directories_in_which_nothing_can_be_made_are_refused() {
        let error = Lock::acquire(&RunDir::new("/proc/1"), 7, LIMIT).unwrap_err();
        assert!(error.remedy.is_some(), "{error}");
    }
}
