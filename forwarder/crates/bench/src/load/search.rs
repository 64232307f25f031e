//! The highest rate at which nothing is lost: throughput of RFC 2544, section 26.1, found by halving.

use std::{
    sync::mpsc::{self, Receiver, Sender},
    thread,
    time::{Duration, Instant},
};

use super::{
    Sample, Server, Work,
    kind::flood::{self, Trial},
    load_request::{LoadRequest, Ready},
    socket::{self, PATIENCE},
    workers::{LoadCpus, Tally, Workers},
};
use fwd_base::{Error, Kind, Result};
use fwd_kernel::netns::Netns;

/// Rates that are tried: what is left between the highest that passed and the lowest that did not is then less than a hundredth.
const TRIALS: u32 = 8;
/// How long the last datagrams of a trial may be under way.
const SETTLING: Duration = Duration::from_millis(200);
/// How often it is looked whether they are there.
const LOOK: Duration = Duration::from_millis(2);

/// What a trial found.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Outcome {
    /// Datagrams sent.
    sent: u64,
    /// Datagrams that arrived.
    arrived: u64,
    /// How long they were sent.
    took: Duration,
}

impl Outcome {
    /// Per second; less than was asked for where the sender was late.
    fn offered(&self) -> f64 {
        self.sent as f64 / self.took.as_secs_f64().max(f64::EPSILON)
    }

    /// Whether something was sent, and all of it arrived.
    fn passes(&self) -> bool {
        self.sent > 0 && self.arrived >= self.sent
    }

    /// Share of what was sent.
    fn lost(&self) -> f64 {
        if self.sent == 0 { 0.0 } else { self.sent.saturating_sub(self.arrived) as f64 / self.sent as f64 }
    }
}

/// Rates, per second.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Search {
    /// The highest that passed; 0 of none.
    passed: f64,
    /// The lowest that did not.
    failed: f64,
}

impl Search {
    /// Half-way between both.
    fn next(&self) -> f64 {
        f64::midpoint(self.passed, self.failed)
    }

    /// What became of a rate.
    fn tell(&mut self, rate: f64, passes: bool) {
        if passes {
            self.passed = self.passed.max(rate);
        } else {
            self.failed = self.failed.min(rate);
        }
    }
}

/// The highest rate that was really offered in those of [`TRIALS`] that passed. The first is what the sender can: if that passes, it is the
/// rate. None if no rate passed.
fn search(mut attempt: impl FnMut(Option<f64>) -> Result<Outcome>) -> Result<Option<f64>> {
    let first = attempt(None)?;
    if first.passes() {
        return Ok(Some(first.offered()));
    }
    let mut search = Search { passed: 0.0, failed: first.offered() };
    let mut best: Option<f64> = None;
    for _ in 1..TRIALS {
        let rate = search.next();
        let outcome = attempt(Some(rate))?;
        search.tell(rate, outcome.passes());
        if outcome.passes() {
            best = Some(best.map_or(outcome.offered(), |best| best.max(outcome.offered())));
        }
    }
    Ok(best)
}

/// Runs the client in `ns` against a server; its warm-up and its trials take as long as `work` says, and what is lost is waited for besides.
/// Inside: that no rate was without loss, which on a busy machine says little of the path.
pub(super) fn run(
    ns: &Netns,
    request: &LoadRequest,
    work: &Work,
    ready: Ready,
    cpus: LoadCpus,
    server: &mut dyn Server,
) -> Result<Result<Sample>> {
    let (trials, orders) = mpsc::channel();
    let (results, sent) = mpsc::channel();
    let mut workers = Workers::default();
    let (size, Ready { address, key }) = (request.size, ready);
    let offer = move |tally: &Tally| flood::offer(size, address, key, &orders, &results, tally);
    ns.run(|| workers.spawn(cpus.sender(), offer))?;
    let sender = TrialSender { trials, sent, workers };
    let mut lost = 0.0;
    let each = (work.duration / TRIALS).max(LOOK);
    let found = cpus.beside(|| {
        if !work.warm_up.is_zero() {
            sender.trial(Trial { rate: None, lasts: work.warm_up }, server)?;
        }
        search(|rate| {
            let outcome = sender.trial(Trial { rate, lasts: each }, server)?;
            lost = outcome.lost();
            Ok(outcome)
        })
    })?;
    let TrialSender { trials, workers, .. } = sender;
    drop(trials);
    workers.stop()?;
    let found = found.ok_or_else(|| {
        let why = format!("{:.1} % were lost at the lowest rate that was tried", lost * 100.0);
        Error::new(Kind::Failed, "find a rate without loss to", socket::udp(address), why)
    });
    Ok(found.map(|per_second| Sample { per_second, latency: None, changes: None, cpu_ns: None, lost: 0.0 }))
}

/// The thread that sends, and what it is told and tells.
struct TrialSender {
    trials: Sender<Trial>,
    sent: Receiver<(u64, Duration)>,
    workers: Workers,
}

impl TrialSender {
    fn trial(&self, trial: Trial, server: &mut dyn Server) -> Result<Outcome> {
        let before = settled(server, None)?;
        self.trials.send(trial).map_err(|_| self.gone())?;
        let (sent, took) = self.sent.recv_timeout(trial.lasts + PATIENCE).map_err(|_| self.gone())?;
        let arrived = settled(server, Some(before + sent))?.saturating_sub(before);
        Ok(Outcome { sent, arrived, took })
    }

    /// Why the sender is gone. It hangs up before it says why.
    fn gone(&self) -> Error {
        let since = Instant::now();
        while since.elapsed() < SETTLING {
            if let Some(error) = self.workers.failure() {
                return error;
            }
            thread::sleep(LOOK);
        }
        Error::new(Kind::Failed, "measure", "a load", "its sender does not answer")
    }
}

/// What has arrived, when that is `expected`, or when nothing more comes.
fn settled(server: &mut dyn Server, expected: Option<u64>) -> Result<u64> {
    let (mut seen, mut since) = (server.count()?.amount, Instant::now());
    while expected.is_none_or(|expected| seen < expected) && since.elapsed() < SETTLING {
        thread::sleep(LOOK);
        let now = server.count()?.amount;
        if now == seen && expected.is_none() {
            break;
        }
        if now != seen {
            (seen, since) = (now, Instant::now());
        }
    }
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A path that takes `most` a second and loses the rest, and a sender that can offer `offers`.
    fn path(most: f64, offers: f64) -> impl FnMut(Option<f64>) -> Result<Outcome> {
        move |rate| {
            let sent = rate.unwrap_or(offers).min(offers);
            Ok(Outcome { sent: sent as u64, arrived: sent.min(most) as u64, took: Duration::from_secs(1) })
        }
    }

    #[test]
    fn a_path_that_takes_all_that_a_sender_offers_has_that_rate() {
        assert_eq!(search(path(1e6, 2e5)).expect("it is found"), Some(2e5));
    }

    #[test]
    fn a_path_that_always_loses_has_none() {
        let lossy = |rate: Option<f64>| {
            let sent = rate.unwrap_or(1e6) as u64;
            Ok(Outcome { sent, arrived: sent - 1, took: Duration::from_secs(1) })
        };
        assert_eq!(search(lossy).expect("it comes to its end"), None);
    }

    #[test]
    fn a_sender_that_is_late_has_found_no_more_than_it_offered() {
        // It takes twice as long for each trial with a rate, and the path takes no more than 1,000 a second.
        let late = |rate: Option<f64>| {
            let (sent, seconds) = rate.map_or((4_000, 1), |rate| (rate as u64, 2));
            Ok(Outcome { sent, arrived: sent.min(1_000 * seconds), took: Duration::from_secs(seconds) })
        };
        let found = search(late).expect("it comes to its end").expect("some pass");
        assert!((980.0..=1_000.0).contains(&found), "{found}");
    }

    #[test]
    fn a_trial_passes_if_all_arrived_and_there_was_something() {
        let outcome = Outcome { sent: 900, arrived: 900, took: Duration::from_secs(1) };
        assert!(outcome.passes() && !Outcome { arrived: 899, ..outcome }.passes());
        assert!(!Outcome { sent: 0, arrived: 0, ..outcome }.passes(), "nothing was sent");
        assert_eq!(Outcome { arrived: 450, ..outcome }.lost(), 0.5);
    }

    proptest! {
        #[test]
        fn what_is_found_is_without_loss_and_as_close_as_the_trials_tell(most in 1e4..1e6_f64, more in 1.01..50.0_f64) {
            let offers = most * more;
            let mut trials = 0;
            let mut path = path(most, offers);
            let found = search(|rate| { trials += 1; path(rate) }).expect("it comes to its end");
            prop_assert_eq!(trials, TRIALS);
            let step = offers / f64::from(1 << (TRIALS - 1));
            match found {
                Some(found) => prop_assert!(found <= most + 1.0 && found >= most - step - 1.0, "{found} of {most}"),
                None => prop_assert!(most < step + 1.0, "{most} of {offers}"),
            }
        }
    }
}
