//! Puts traced programs in the places of those that run, and reads what they tell: see `forwarder-ebpf/src/trace.rs`.
//!
//! They are an object of their own over the same maps, so that the others have nothing of it, and take their places as `reload`
//! does. The ring buffer is not pinned: it goes with the traced programs. A directory among the pins notes who traces, before
//! anything is replaced, so that what was left by a tracer that was killed is known for what it is.

use std::{
    fs,
    net::IpAddr,
    os::fd::AsFd as _,
    path::PathBuf,
    time::{Duration, Instant},
};

use aya::{
    Ebpf,
    maps::{MapData, PerCpuArray, RingBuf},
};
use forwarder_common::{
    abi::{FlowVersion, TRACE_HEADERS, TraceRecord, trace_filter},
    wire::ipv6,
};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::{
    Dataplane,
    load::{NEW_PROGRAMS, create::remove_dir, former::Former, missing},
    object::{TRACED_HASH, kernel_fields},
    read::{field::address, flow_table::flows::state_name},
};
use fwd_base::{Context as _, Error, Kind, Result};

/// The directory that notes who traces: in it one named `PID-START`, the process and the clock tick at which it began.
const TRACING: &str = "tracing";

/// Which packets the programs tell of. Where addresses are translated they let more pass than is meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TraceFilter {
    /// From, to or of the endpoint with this host-side veth and these addresses.
    pub endpoint: Option<(u32, [Option<IpAddr>; 2])>,
    /// What is dropped, or left to the kernel for a reason.
    pub drops: bool,
    /// IP protocol.
    pub proto: Option<u8>,
    /// Source or destination is one of these addresses.
    pub peers: [Option<IpAddr>; 2],
    /// Of what is not the business of `fwd`, only packets of endpoints: not what the host itself sends and gets.
    pub no_others: bool,
}

impl TraceFilter {
    fn words(self) -> [u32; trace_filter::WORDS] {
        let Self { endpoint, drops, proto, peers: [peer, other], no_others } = self;
        let (host_veth, addresses) = endpoint.unwrap_or_default();
        let mut words = [0; trace_filter::WORDS];
        words[trace_filter::ENDPOINT] = host_veth;
        words[trace_filter::DROPS] = drops.into();
        words[trace_filter::PROTO] = proto.unwrap_or(0).into();
        words[trace_filter::NO_OTHERS] = no_others.into();
        let [v4, v6] = [true, false].map(|v4| addresses.into_iter().flatten().find(|address| address.is_ipv4() == v4));
        let places = [trace_filter::ADDRESS, trace_filter::ADDRESS_IPV6, trace_filter::PEER, trace_filter::OTHER_PEER];
        for (first, wanted) in places.into_iter().zip([v4, v6, peer, other]) {
            words[first..first + 4].copy_from_slice(&wanted.map_or([0; 4], |wanted| ipv6::words(address(wanted))));
        }
        words
    }
}

/// The state of a packet's flow, as `fwd flows` calls it; none if it has ended, or there is none.
#[must_use]
pub fn flow_state(record: &TraceRecord) -> Option<&'static str> {
    Some(state_name(FlowVersion::from_raw(record.meta).state())).filter(|state| *state != "free")
}

/// Whose trace the loaded programs are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TracedBy {
    /// The process.
    pub pid: u32,
    /// It runs. If not, it was killed, and nobody reads what the programs tell.
    pub alive: bool,
}

/// What the traced programs tell.
pub struct Tracer {
    ring: RingBuf<MapData>,
    lost: PerCpuArray<MapData, u64>,
    note: PathBuf,
}

impl Tracer {
    fn new(ebpf: &mut Ebpf, note: PathBuf) -> Result<Self> {
        let mut take = |name: &str| ebpf.take_map(name).ok_or_else(|| missing(name));
        let ring = RingBuf::try_from(take("TRACE")?).doing("open", "map TRACE")?;
        let lost = PerCpuArray::try_from(take("TRACE_LOST")?).doing("open", "map TRACE_LOST")?;
        Ok(Self { ring, lost, note })
    }

    /// Waits until there is a record, or for so long at most. A signal ends it too.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn wait(&self, longest: Duration) -> Result<()> {
        let timeout = PollTimeout::try_from(longest).unwrap_or(PollTimeout::ZERO);
        match poll(&mut [PollFd::new(self.ring.as_fd(), PollFlags::POLLIN)], timeout) {
            Err(nix::errno::Errno::EINTR) => Ok(()),
            result => result.map(drop).doing("wait for", "packets"),
        }
    }

    /// Records for which there was no room, so far.
    ///
    /// # Errors
    /// The map cannot be read.
    pub fn lost(&self) -> Result<u64> {
        Ok(self.lost.get(&0, 0).doing("read", "map TRACE_LOST")?.iter().sum())
    }

    /// Whether the programs are still this trace's: not if they were replaced (`fwd reload`), or have gone (`fwd down`).
    #[must_use]
    pub fn goes_on(&self) -> bool {
        self.note.exists()
    }
}

/// The records that are there; more may come after the last.
impl Iterator for Tracer {
    type Item = TraceRecord;

    fn next(&mut self) -> Option<TraceRecord> {
        let item = self.ring.next()?;
        // Of another length is nothing that these programs tell.
        <&[u8; size_of::<TraceRecord>()]>::try_from(&*item).ok().map(record)
    }
}

impl Dataplane {
    /// Who traces, or did when killed.
    pub(crate) fn traced_by(&self) -> Option<TracedBy> {
        let entry = fs::read_dir(self.dir.join(TRACING)).ok()?.flatten().next()?;
        let name = entry.file_name();
        let (pid, start) = name.to_str()?.split_once('-')?;
        let pid = pid.parse().ok()?;
        Some(TracedBy { pid, alive: started(pid).as_deref() == Some(start) })
    }

    /// Replaces the programs by traced ones of this build.
    ///
    /// # Errors
    /// None are loaded, they are of another build, somebody else traces, or the kernel refuses: then the former ones go on.
    pub fn trace(&self, filter: &TraceFilter) -> Result<Tracer> {
        let refuse = |kind, why: String| Error::new(kind, "trace", "packets", why);
        let missing =
            || refuse(Kind::NotFound, "no programs are loaded".into()).remedy("`fwd up --ns NAME` loads them");
        let before = self.programs()?.ok_or_else(missing)?;
        match before.traced {
            Some(TracedBy { pid, alive: true }) => {
                let error = refuse(Kind::Conflict, format!("another trace (pid {pid}) goes on"));
                return Err(error.remedy("wait until it ends, or end it with Ctrl-C"));
            }
            None if !before.current => {
                let error = refuse(Kind::Conflict, "the programs in the kernel are of another build of fwd".into());
                return Err(error.remedy("`fwd reload` replaces them, under traffic"));
            }
            Some(TracedBy { alive: false, .. }) | None => {}
        }
        self.forget_tracer()?;
        let pid = std::process::id();
        let start = started(pid).ok_or_else(|| refuse(Kind::Failed, "/proc does not tell when it began".into()))?;
        let note = self.dir.join(TRACING).join(format!("{pid}-{start}"));
        fs::create_dir_all(&note).doing("create", note.display().to_string())?;
        let begun = Instant::now();
        let replaced = self.replace(TRACED_HASH, Former::Leave, || self.traced_object(filter));
        tracing::debug!("traced programs took {:?}", begun.elapsed());
        match replaced.and_then(|(mut ebpf, _)| Tracer::new(&mut ebpf, note)) {
            Ok(tracer) => Ok(tracer),
            // What was not put back, or only in part, stays noted.
            Err(error) if self.has_traced_programs() => Err(error),
            Err(error) => {
                self.forget_tracer()?;
                Err(error)
            }
        }
    }

    /// Whether any of the loaded programs may be traced ones: they all are, or not all could be replaced, or put back.
    fn has_traced_programs(&self) -> bool {
        self.dir.join(NEW_PROGRAMS).exists() || self.config().is_ok_and(|config| config.object == TRACED_HASH)
    }

    /// Puts the programs of this build back, if those that are loaded are this process's traced ones; whether they were.
    ///
    /// # Errors
    /// As [`reload`](Self::reload).
    pub fn end_trace(&self) -> Result<bool> {
        let ours = self.traced_by().is_some_and(|by| by.pid == std::process::id());
        if ours {
            self.reload()?;
        }
        Ok(ours)
    }

    /// The programs are traced ones no more.
    pub(crate) fn forget_tracer(&self) -> Result<()> {
        remove_dir(&self.dir.join(TRACING))
    }

    fn traced_object(&self, filter: &TraceFilter) -> Result<Ebpf> {
        self.object_over_pins_of(&kernel_fields::traced_object(), &[("TRACE_FILTER", &filter.words())])
    }
}

/// The record in an element of the ring buffer.
fn record(bytes: &[u8; size_of::<TraceRecord>()]) -> TraceRecord {
    let word = |number: usize| u32::from_ne_bytes(std::array::from_fn(|byte| bytes[8 + 4 * number + byte]));
    let headers = |number: usize| std::array::from_fn(|byte| bytes[64 + TRACE_HEADERS * number + byte]);
    TraceRecord {
        at: u64::from_ne_bytes(std::array::from_fn(|byte| bytes[byte])),
        took: word(0),
        point: word(1),
        ifindex: word(2),
        ingress: word(3),
        code: word(4),
        action: word(5),
        slot: word(6),
        meta: word(7),
        endpoint: word(8),
        length: word(9),
        segments: word(10),
        protocol: word(11),
        before_len: word(12),
        after_len: word(13),
        before: headers(0),
        after: headers(1),
    }
}

/// When a process began, clock ticks since boot; none if there is no such process (proc_pid_stat(5), field 22).
fn started(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before it may hold anything.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(19).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::{TraceFilter, started, trace_filter};
    use crate::object::{OBJECT, TRACED_OBJECT};

    #[test]
    fn only_the_traced_object_has_anything_of_it() {
        let mentions = |object: &[u8]| object.windows(9).any(|window| window == b"fwd_trace");
        assert!(mentions(TRACED_OBJECT) && !mentions(OBJECT));
    }

    #[test]
    fn process_that_has_gone_did_not_begin() {
        let own = std::process::id();
        assert!(started(own).is_some_and(|start| start.parse::<u64>().is_ok()));
        assert_eq!(started(own), started(own));
        assert_eq!(started(u32::MAX), None);
    }

    #[test]
    fn filter_without_wishes_lets_everything_pass() {
        assert_eq!(TraceFilter::default().words(), [0; trace_filter::WORDS]);
        let filter =
            TraceFilter { peers: [None, Some([203, 0, 113, 1].into())], proto: Some(6), ..TraceFilter::default() };
        let words = filter.words();
        assert_eq!(words[trace_filter::OTHER_PEER + 3].to_ne_bytes(), [203, 0, 113, 1]);
        assert_eq!(words[trace_filter::PROTO], 6);
    }
}
