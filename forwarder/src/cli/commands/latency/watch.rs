//! Reads what is measured, interval by interval, until the end.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use signal_hook::{
    SigId,
    consts::{SIGINT, SIGTERM},
    flag, low_level,
};

use super::{
    MeasuredPath,
    args::{LatencyArgs, SampleArg},
    conversations::Conversations,
};
use crate::{
    Context as _, Result,
    cli::session::Session,
    dataplane::{Cost, Probes},
    latency::{Distribution, next_sample},
    render::{LatencyCost, LatencyHead, LatencyInterval, LatencyPathView, LatencyView, LatencyWay},
};

/// How often the rate of packets is looked at, and the signals.
const TICK: Duration = Duration::from_millis(100);
/// So many of the last intervals are kept for the result: of seconds, an hour.
const KEPT: usize = 3_600;
/// After so many intervals a terminal shows the titles again.
const PAGE: usize = 20;

/// Both ways of one path.
type Both = [Distribution; 2];

/// A run of `fwd latency`.
pub(super) struct Watch<'a> {
    probes: Probes,
    paths: &'a [MeasuredPath],
    cost: Cost,
    interval: Duration,
    duration: Option<Duration>,
    /// Where round trips are asked for.
    conversations: Option<Conversations>,
    fixed: Option<u32>,
    sample: u32,
    /// The largest that `sample` was.
    most: u32,
    signals: Signals,
}

impl<'a> Watch<'a> {
    /// A run over what is not attached yet: signals are caught before.
    pub(super) fn new(mut probes: Probes, paths: &'a [MeasuredPath], args: &LatencyArgs) -> Result<Self> {
        let cost = probes.cost()?;
        let fixed = match args.sample {
            SampleArg::Auto => None,
            SampleArg::One(sample) => Some(sample),
        };
        let sample = fixed.unwrap_or(1);
        probes.sample(sample)?;
        let LatencyArgs { interval, duration, .. } = *args;
        let conversations = args.round_trips.then(Conversations::default);
        let signals = Signals::catch()?;
        Ok(Self { probes, paths, cost, interval, duration, conversations, fixed, sample, most: sample, signals })
    }

    /// Measures to the end and shows the result.
    pub(super) fn run(mut self, session: &mut Session<'_, '_>) -> Result<()> {
        let views: Vec<LatencyPathView> = self.paths.iter().map(MeasuredPath::view).collect();
        let milliseconds = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let head = LatencyHead { paths: &views, sample: self.fixed, duration_ms: self.duration.map(milliseconds) };
        session.emit_part(|look, out| head.text(look, out))?;
        let first = self.sample;
        super::attach(&mut self.probes, self.paths, || self.signals.caught())?;
        let start = Instant::now();
        let (mut intervals, mut count) = (VecDeque::new(), 0_usize);
        let mut before = Both::default();
        let mut goes_on = true;
        while goes_on {
            let until = start + self.interval * u32::try_from(count + 1).unwrap_or(u32::MAX);
            let end = self.duration.map(|duration| start + duration);
            goes_on = self.wait(until.min(end.unwrap_or(until)))? && end.is_none_or(|end| Instant::now() < end);
            let all = self.read()?.into_iter().fold(Both::default(), sum);
            let at_ms = milliseconds(start.elapsed());
            if let Some(conversations) = &mut self.conversations {
                conversations.read(&self.probes, at_ms)?;
            }
            let interval = interval(at_ms, &all, &before);
            before = all;
            if session.is_terminal() && count > 0 && count.is_multiple_of(PAGE) {
                session.emit_part(|look, out| head.columns(look, out))?;
            }
            session.emit_part(|look, out| interval.text(look, out))?;
            count += 1;
            keep(&mut intervals, interval);
        }
        session.emit_part(|_, out| writeln!(out))?;
        let duration_ms = milliseconds(start.elapsed());
        session.warn(&self.quiet()?)?;
        let paths: Vec<_> = views.into_iter().zip(self.read()?).map(|(path, both)| filled(path, &both)).collect();
        let (cost, intervals) = (self.costs(first), intervals.into());
        let round_trips = self.conversations.map(|conversations| conversations.views(&paths));
        session.emit(&LatencyView { duration_ms, cost, paths, round_trips, intervals })
    }

    /// Waits until `end` and adjusts the sampling; false if the user has seen enough.
    fn wait(&mut self, end: Instant) -> Result<bool> {
        let mut passed = self.passed()?;
        let mut looked = Instant::now();
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if self.signals.caught() {
                return Ok(false);
            }
            if left.is_zero() {
                return Ok(true);
            }
            thread::sleep(left.min(TICK));
            if self.fixed.is_none() && looked.elapsed() >= TICK {
                let now = self.passed()?;
                let next = next_sample(self.sample, now.saturating_sub(passed), looked.elapsed());
                (passed, looked) = (now, Instant::now());
                if next != self.sample {
                    self.sample = next;
                    self.most = self.most.max(next);
                    self.probes.sample(next)?;
                }
            }
        }
    }

    /// Packets that are worth measuring, and on the way in those that may be: whose they are is not known.
    fn passed(&self) -> Result<u64> {
        let passed = self.probes.passed()?;
        Ok(passed.left_ns + passed.entered_uplink)
    }

    fn read(&self) -> Result<Vec<Both>> {
        let read = |path| Ok(self.probes.tallies(path)?.each_ref().map(Distribution::from));
        (0..self.probes.paths()).map(read).collect()
    }

    fn costs(&self, first: u32) -> LatencyCost {
        let Cost { passed_ns, measured_ns, zero_ns } = self.cost;
        let packet_ns = self.cost.of_packet(self.sample);
        let (sample_last, sample_most) = (self.sample, self.most);
        LatencyCost { sample_first: first, sample_last, sample_most, passed_ns, measured_ns, packet_ns, zero_ns }
    }

    /// What to say if nothing was measured.
    fn quiet(&self) -> Result<Vec<String>> {
        let passed = self.probes.passed()?;
        let measured: u64 = self.read()?.iter().flatten().map(|one| one.measured).sum();
        Ok(if measured > 0 {
            Vec::new()
        } else if passed.left_ns + passed.entered_ns == 0 {
            vec!["no packet passed: send something from the namespace through the uplink meanwhile".into()]
        } else if self.sample > 1 {
            vec![format!("packets passed, but none of those chosen (1 of {}): try --sample 1", self.sample)]
        } else {
            vec![
                "packets left or entered the namespace, but none passed the uplink: they went elsewhere, or were \
                  dropped, or a program passed them by where they cannot be seen (XDP)"
                    .into(),
            ]
        })
    }
}

fn sum(mut all: Both, one: Both) -> Both {
    for (all, one) in all.iter_mut().zip(&one) {
        all.add(one);
    }
    all
}

fn interval(at_ms: u64, now: &Both, before: &Both) -> LatencyInterval {
    let [out, back] = [now[0].since(&before[0]), now[1].since(&before[1])];
    let buckets = [out.buckets().collect(), back.buckets().collect()];
    LatencyInterval { at_ms, out: (&out).into(), back: (&back).into(), buckets }
}

/// Keeps an interval, and forgets the oldest where there are enough. The map has been shown by then.
fn keep(intervals: &mut VecDeque<LatencyInterval>, interval: LatencyInterval) {
    if intervals.len() == KEPT {
        intervals.pop_front();
    }
    intervals.push_back(LatencyInterval { buckets: Default::default(), ..interval });
}

fn filled(path: LatencyPathView, [out, back]: &Both) -> LatencyPathView {
    LatencyPathView { out: LatencyWay::new(out, true), back: LatencyWay::new(back, false), ..path }
}

/// Catches Ctrl-C, so that the result is shown; a second one ends at once.
struct Signals {
    caught: Arc<AtomicBool>,
    ids: Vec<SigId>,
}

impl Signals {
    fn catch() -> Result<Self> {
        let caught = Arc::new(AtomicBool::new(false));
        let mut ids = Vec::new();
        for (signal, status) in [(SIGINT, 130), (SIGTERM, 143)] {
            // In this order: the first signal sets what the second one finds.
            ids.push(
                flag::register_conditional_shutdown(signal, status, Arc::clone(&caught)).doing("catch", "signals")?,
            );
            ids.push(flag::register(signal, Arc::clone(&caught)).doing("catch", "signals")?);
        }
        Ok(Self { caught, ids })
    }

    fn caught(&self) -> bool {
        self.caught.load(Ordering::Relaxed)
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        for id in self.ids.drain(..) {
            low_level::unregister(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn history_is_bounded_and_keeps_the_last_intervals() {
        let (mut intervals, nothing) = (VecDeque::new(), Both::default());
        let last = 3 * KEPT as u64;
        for at_ms in 1..=last {
            keep(&mut intervals, interval(at_ms, &nothing, &nothing));
        }
        let kept: Vec<_> = intervals.iter().map(|interval| interval.at_ms).collect();
        assert_eq!(kept, (last - KEPT as u64 + 1..=last).collect::<Vec<_>>());
        assert!(intervals.capacity() <= 2 * KEPT);
    }
}
