//! `fwd trace`.

mod args;
mod places;

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use forwarder_common::abi::TraceRecord;
use nix::time::{ClockId, clock_gettime};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    flag,
};

pub(super) use self::args::HELP;
pub(crate) use self::args::TraceArgs;
use self::places::Places;
use crate::{
    Context as _, Error, Kind, Result,
    cli::{session::Session, target},
    dataplane::{TraceFilter, Tracer},
    execute::{self, HostContext},
    query::{State, not_up},
    reconcile::TargetRef,
    render::{TraceHead, TraceLine, write_trace_reasons},
    trace::{FlowPattern, Follower},
};

/// How often signals are looked at, and whether the programs are still traced ones.
const TICK: Duration = Duration::from_millis(100);

/// Shows packets until the user has seen enough.
pub(super) fn run(session: &mut Session<'_, '_>, args: &TraceArgs) -> Result<()> {
    let target = target::given(&args.target)?;
    let state = match (State::read(&session.at)?, &target) {
        (Some(state), _) => state,
        (None, Some(target)) => return Err(not_up(target, None)),
        (None, None) => {
            let error = Error::new(Kind::NotFound, "trace", "packets", "nothing is up");
            return Err(error.remedy("`fwd up --ns NAME` connects a namespace"));
        }
    };
    let places = Places::of(&state, target.as_ref())?;
    let head = TraceHead {
        whose: places.label(target.as_ref().map(TargetRef::label)),
        count: args.count,
        hook: places.width(),
    };
    let hook = head.hook();
    let mut run = Run {
        filter: places.filter(args),
        pattern: args.flow.clone(),
        drops: args.drops,
        left: args.count,
        follower: Follower::default(),
        reasons: BTreeSet::new(),
        start: now()?,
        hook,
        places,
    };
    let stop = signals()?;
    let context = session.context();
    let mut tracer = execute::trace(&context, &run.filter)?;
    let mut traced = Traced { context: &context, ended: false };
    let shown =
        session.emit_part(|look, out| head.text(look, out)).and_then(|()| run.show(session, &mut tracer, &stop));
    let ended = traced.end();
    // What came until then.
    let rest = shown.and_then(|ending| match ending {
        Ending::Wanted => run.show_all(session, &mut tracer).map(|_| ending),
        Ending::Counted | Ending::Replaced => Ok(ending),
    });
    // That the programs are still traced ones is worse than that something could not be shown.
    ended?;
    run.finish(session, &tracer, rest?)
}

/// Why a trace ends.
#[derive(Clone, Copy, PartialEq)]
enum Ending {
    /// By a signal.
    Wanted,
    /// There were as many lines as were asked for.
    Counted,
    /// Somebody else has replaced the programs, or taken them down.
    Replaced,
}

/// Puts the former programs back, whatever happens.
struct Traced<'a> {
    context: &'a HostContext,
    ended: bool,
}

impl Traced<'_> {
    fn end(&mut self) -> Result<bool> {
        self.ended = true;
        let remedy = |error: Error| error.remedy("the traced programs are still loaded: `fwd reload` replaces them");
        execute::end_trace(self.context).map_err(remedy)
    }
}

impl Drop for Traced<'_> {
    fn drop(&mut self) {
        if !self.ended
            && let Err(error) = self.end()
        {
            tracing::error!("{error}");
        }
    }
}

/// A run of `fwd trace`.
struct Run {
    places: Places,
    filter: TraceFilter,
    pattern: Option<FlowPattern>,
    drops: bool,
    /// Lines that are still to be shown.
    left: Option<u64>,
    follower: Follower,
    /// Reasons that were shown.
    reasons: BTreeSet<String>,
    /// Columns of the hook.
    hook: usize,
    /// When it began: by the monotonic clock and since 1970, nanoseconds.
    start: (u64, u64),
}

impl Run {
    fn show(&mut self, session: &mut Session<'_, '_>, tracer: &mut Tracer, stop: &AtomicBool) -> Result<Ending> {
        loop {
            if self.show_all(session, tracer)? {
                return Ok(Ending::Counted);
            }
            if stop.load(Ordering::Relaxed) {
                return Ok(Ending::Wanted);
            }
            if !tracer.goes_on() {
                return Ok(Ending::Replaced);
            }
            tracer.wait(TICK)?;
        }
    }

    /// Shows what has been told; whether that was enough.
    fn show_all(&mut self, session: &mut Session<'_, '_>, tracer: &mut Tracer) -> Result<bool> {
        for record in tracer.by_ref() {
            self.show_one(session, &record)?;
            if self.left == Some(0) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn show_one(&mut self, session: &mut Session<'_, '_>, record: &TraceRecord) -> Result<()> {
        let (before, after) = places::packets(record);
        let since = self.follower.since((record.at, record.point), record.length, &before, &after);
        let wanted = match &self.pattern {
            Some(pattern) => self.follower.wants(pattern, &before, &after),
            None => self.places.are_meant(record, &before, &after),
        };
        if !wanted || self.places.is_named() && !self.places.are_meant(record, &before, &after) {
            return Ok(());
        }
        let mut view = self.places.view(record, &before, &after);
        if self.drops && !matches!(view.verdict.as_str(), "dropped" | "punted") {
            return Ok(());
        }
        let (monotonic, unix) = self.start;
        view.time_ns = record.at.saturating_sub(monotonic);
        view.unix_ns = unix.saturating_add(view.time_ns);
        view.since_ns = since;
        self.reasons.extend(view.reason.clone());
        self.left = self.left.map(|left| left.saturating_sub(1));
        session.emit_line(&TraceLine { view, hook: self.hook })
    }

    /// Says what has to be said besides.
    fn finish(&self, session: &mut Session<'_, '_>, tracer: &Tracer, ending: Ending) -> Result<()> {
        let mut warnings = Vec::new();
        if ending == Ending::Replaced {
            warnings.push("the trace has ended: another command has replaced the programs, or taken them down".into());
        }
        let lost = tracer.lost()?;
        if lost > 0 {
            let remedy = "--flow, --drops or a namespace narrow it down";
            warnings.push(format!("{lost} lines are missing: packets came faster than they could be shown; {remedy}"));
        }
        session.emit_part(|look, out| write_trace_reasons(&self.reasons, look, out))?;
        session.warn(&warnings)
    }
}

/// Catches what ends a trace: the programs have to be put back before the process ends.
fn signals() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        flag::register(signal, Arc::clone(&stop)).doing("catch", "signals")?;
    }
    Ok(stop)
}

/// The time by the monotonic clock and since 1970, nanoseconds.
fn now() -> Result<(u64, u64)> {
    let nanoseconds = |span: Duration| u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
    let monotonic = clock_gettime(ClockId::CLOCK_MONOTONIC).doing("read", "the clock")?;
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok((nanoseconds(monotonic.into()), nanoseconds(unix)))
}
