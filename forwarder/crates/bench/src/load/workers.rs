//! The threads of one side of a load, and what they count.

use std::{
    fs,
    os::fd::{AsFd, AsRawFd as _, OwnedFd},
    process::Command,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use nix::{
    sys::socket::{Shutdown as How, shutdown},
    time::{ClockId, clock_gettime},
    unistd::{Pid, gettid},
};

use super::{sys, time::times::Times};
use fwd_base::{Context as _, Error, Kind, Result, cpu};

/// Above all ordinary threads, below those of the kernel.
const PRIORITY: i32 = 10;

/// Where a thread runs, and whether others may take the CPU away from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Affinity {
    /// The CPU it stays on.
    pub(super) cpu: usize,
    /// At real-time priority, where that is permitted.
    ///
    /// For threads that take turns on one CPU, which spares them being interrupted by anything else. The machine stays usable:
    /// it is one CPU, for as long as the load lasts, and of that the kernel keeps 5 % for others (sched_rt_runtime_us; where
    /// that is switched off, no thread of ours is real-time).
    pub(super) realtime: bool,
}

impl Affinity {
    /// Has a program that is started by `command` be here from its beginning, as a thread of ours would.
    pub(super) fn keep(self, command: &mut Command) -> Result<()> {
        let priority = (self.realtime && is_throttled()).then_some(PRIORITY);
        sys::keep_in_place(command, self.cpu, priority).doing("choose", format!("CPU {}", self.cpu))
    }
}

/// The CPUs of a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LoadCpus {
    first: usize,
    last: usize,
    both: bool,
}

impl LoadCpus {
    /// Among those that the calling thread may use, for both ends.
    pub(super) fn here() -> Result<Self> {
        let usable = cpu::usable()?;
        let [first, last] = [usable.first(), usable.last()].map(|cpu| cpu.copied().unwrap_or_default());
        Ok(Self { first, last, both: true })
    }

    /// The same for one end, where the other is another process, mostly on another machine. Nothing is real-time there: neither
    /// do strangers get a CPU for themselves, nor does the one end starve the other where both are on one machine after all.
    pub(super) fn of_one_end() -> Result<Self> {
        Self::here().map(|here| Self { both: false, ..here })
    }

    /// Whether they are for both ends.
    pub(super) fn has_both(self) -> bool {
        self.both
    }

    /// On the last CPU: where both ends of a load take turns. At real-time priority if both are ours and there is another CPU for
    /// all else.
    pub(super) fn in_turn(self) -> Affinity {
        Affinity { cpu: self.last, realtime: self.both && self.first != self.last }
    }

    /// Where a stream is sent from: the first CPU.
    pub(super) fn sender(self) -> Affinity {
        Affinity { cpu: self.first, realtime: false }
    }

    /// Where a stream is received: another CPU than the sender's, if there are two.
    pub(super) fn receiver(self) -> Affinity {
        Affinity { cpu: self.last, realtime: false }
    }

    /// Runs `act`, which others wait for, where no load keeps it from running.
    pub(super) fn beside<T>(self, act: impl FnOnce() -> Result<T>) -> Result<T> {
        cpu::beside(self.last, act)
    }
}

/// What both ends of a load count, at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Count {
    /// When.
    pub(super) at: Instant,
    /// Round trips, connections, datagrams, or bytes until then.
    pub(super) amount: u64,
    /// CPU time of the threads until then, nanoseconds.
    pub(super) cpu: u64,
}

/// Shared by the threads of one side.
#[derive(Debug, Default)]
pub(super) struct Tally {
    amount: AtomicU64,
    bytes: AtomicU64,
    /// What was timed by itself, and nanoseconds of it.
    timed: [AtomicU64; 2],
    stop: AtomicBool,
    threads: Mutex<Vec<Pid>>,
    sockets: Mutex<Vec<OwnedFd>>,
    failure: Mutex<Option<Error>>,
    latency: Mutex<Option<Times>>,
}

impl Tally {
    /// Adds to what was done.
    pub(super) fn add(&self, amount: u64) {
        self.amount.fetch_add(amount, Ordering::Relaxed);
    }

    /// What was done until now.
    pub(super) fn amount(&self) -> u64 {
        self.amount.load(Ordering::Relaxed)
    }

    /// Adds to the bytes of what was done, where these are not what is counted.
    pub(super) fn add_bytes(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Those that were added until now.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Adds what was done in a time that was measured by itself.
    pub(super) fn add_timed(&self, amount: u64, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.timed[0].fetch_add(amount, Ordering::Relaxed);
        self.timed[1].fetch_add(nanos, Ordering::Relaxed);
    }

    /// That per second; none if nothing was.
    pub(super) fn timed_rate(&self) -> Option<f64> {
        let [amount, nanos] = [0, 1].map(|which| self.timed[which].load(Ordering::Relaxed));
        (nanos > 0).then(|| amount as f64 * 1e9 / nanos as f64)
    }

    /// Whether it is time to end.
    pub(super) fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Has `socket` shut down at the end, which wakes whoever waits for it.
    pub(super) fn shut_at_end(&self, socket: &impl AsFd) -> Result<()> {
        let copy = socket.as_fd().try_clone_to_owned().doing("keep", "a socket")?;
        let mut sockets = locked(&self.sockets);
        // The end may have come before: it takes the lock after it has said so.
        if self.is_over() {
            wake(&copy);
        }
        sockets.push(copy);
        Ok(())
    }

    /// Adds the times that one thread took.
    pub(super) fn add_latency(&self, times: Times) -> Result<()> {
        let mut sum = locked(&self.latency);
        match sum.as_mut() {
            Some(sum) => sum.add(&times),
            None => {
                *sum = Some(times);
                Ok(())
            }
        }
    }

    /// What is counted now.
    ///
    /// CPU time is the scheduler's account of the threads in nanoseconds (their CPU clocks), not the ticks of /proc/stat: it
    /// leaves out whatever else runs on the same CPUs, and a second is not too short for it. It contains the soft interrupts that
    /// the packets of a thread cause, because over veth, bridge and loopback these run within its own system calls.
    fn count(&self) -> Count {
        let cpu = locked(&self.threads).iter().filter_map(|thread| cpu_time(*thread)).sum();
        Count { at: Instant::now(), amount: self.amount(), cpu }
    }
}

/// Nanoseconds. `None` if the thread has ended.
fn cpu_time(thread: Pid) -> Option<u64> {
    // MAKE_THREAD_CPUCLOCK(thread, CPUCLOCK_SCHED) of include/linux/posix-timers_types.h.
    let clock = ClockId::from_raw((!thread.as_raw() << 3) | 4 | 2);
    let time = clock_gettime(clock).ok()?;
    let seconds = u64::try_from(time.tv_sec()).ok()?;
    seconds.checked_mul(1_000_000_000)?.checked_add(u64::try_from(time.tv_nsec()).ok()?)
}

/// Makes what waits for the socket return; a socket that is not connected says ENOTCONN and does it nevertheless.
fn wake(socket: &OwnedFd) {
    if let Err(error) = shutdown(socket.as_raw_fd(), How::Both) {
        tracing::trace!("shutdown: {error}");
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The threads of one side. They end with it.
#[derive(Debug, Default)]
pub(super) struct Workers {
    tally: Arc<Tally>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    /// What they share.
    pub(super) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Starts a thread in the network namespace of the calling one, and returns when it is on its CPU: an ordinary one would
    /// not get there any more when the other end runs in real time. A failure of `work` is kept for [`count`](Self::count).
    pub(super) fn spawn(
        &mut self,
        affinity: Affinity,
        work: impl FnOnce(&Tally) -> Result<()> + Send + 'static,
    ) -> Result<()> {
        let tally = Arc::clone(&self.tally);
        let (ready, is_ready) = mpsc::channel::<()>();
        let run = move || {
            locked(&tally.threads).push(gettid());
            let placed = pin(affinity);
            drop(ready);
            if let Err(error) = placed.and_then(|()| work(&tally))
                && !tally.is_over()
            {
                locked(&tally.failure).get_or_insert(error);
            }
        };
        let thread = thread::Builder::new().name("load".into()).spawn(run).doing("start", "a thread")?;
        self.threads.push(thread);
        // Nothing is ever sent: the other side is dropped.
        is_ready.recv().or(Ok(()))
    }

    /// What they have done until now.
    ///
    /// # Errors
    /// What the first of them that failed failed with.
    pub(super) fn count(&self) -> Result<Count> {
        match self.failure() {
            Some(error) => Err(error),
            None => Ok(self.tally.count()),
        }
    }

    /// What the first of them that failed failed with; told once.
    pub(super) fn failure(&self) -> Option<Error> {
        locked(&self.tally.failure).take()
    }

    /// Ends them.
    ///
    /// # Errors
    /// What the first of them that failed failed with.
    pub(super) fn stop(mut self) -> Result<Option<Times>> {
        self.end();
        match self.failure() {
            Some(error) => Err(error),
            None => Ok(locked(&self.tally.latency).take()),
        }
    }

    /// Has them end, and waits for it; none waits for a socket longer than [`super::socket::LONG_PATIENCE`].
    fn end(&mut self) {
        self.tally.stop.store(true, Ordering::Relaxed);
        for socket in locked(&self.tally.sockets).drain(..) {
            wake(&socket);
        }
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                let error = Error::new(Kind::Failed, "measure", "a load", "one of its threads panicked");
                locked(&self.tally.failure).get_or_insert(error);
            }
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.end();
    }
}

/// Keeps the calling thread on its CPU.
fn pin(affinity: Affinity) -> Result<()> {
    // First of all: on its CPU, others at real-time priority might keep it from getting that far.
    if affinity.realtime && is_throttled() {
        // Not permitted: it is measured at ordinary priority, only less evenly.
        sys::become_realtime(PRIORITY).unwrap_or_else(|error| tracing::debug!("no real-time priority: {error}"));
    }
    cpu::stay_on(affinity.cpu)
}

/// Whether the kernel keeps some of each CPU for ordinary threads.
fn is_throttled() -> bool {
    fs::read_to_string("/proc/sys/kernel/sched_rt_runtime_us").is_ok_and(|micros| micros.trim() != "-1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_timed_by_itself_has_the_rate_of_its_own_time() {
        let tally = Tally::default();
        assert_eq!(tally.timed_rate(), None);
        tally.add_timed(64, Duration::from_millis(10));
        tally.add_timed(64, Duration::from_millis(30));
        assert_eq!(tally.timed_rate(), Some(3_200.0));
    }
}
