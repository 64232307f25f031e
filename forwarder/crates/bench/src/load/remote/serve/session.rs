//! What a server and one client say to each other.

use std::{
    io::ErrorKind,
    net::SocketAddr,
    time::{Duration, Instant},
};

use super::{
    INTERVAL, Limits,
    door::{Door, Visitor},
};
use crate::load::{
    guest::Guest,
    job::Job,
    load_request::LoadRequest,
    remote::control::{Channel, Counted, Hello, PROTOCOL, Reason, Refusal, Reply, Request},
    secret::Token,
    workers::LoadCpus,
};
use fwd_base::Error;

/// How long a visitor may take to say who it is.
const HELLO: Duration = Duration::from_secs(5);
/// How long a client may say nothing, and how much longer than it said a load may take. Its machine may be busy.
const SILENCE: Duration = Duration::from_secs(30);
/// A rate is the mean over so long.
const RATE_OVER: Duration = Duration::from_secs(1);

/// One connection of a server.
pub(super) struct Session<'a> {
    pub(super) door: &'a Door,
    pub(super) token: &'a Token,
    pub(super) limits: Limits,
    pub(super) cpus: LoadCpus,
}

/// A load that a client has started.
struct Load {
    job: Job,
    began: Instant,
    /// When it should be over.
    until: Instant,
    /// When the rate was looked at, and the bytes until then.
    looked: (Instant, u64),
}

impl Session<'_> {
    /// Serves whoever came, to its end; loads go to `port`.
    pub(super) fn attend(&self, mut visitor: Visitor, port: u16) {
        let mut load = None;
        if let Err(refusal) = self.converse(&mut visitor, port, &mut load) {
            // Before its load breaks down: it shall know why.
            self.door.refuses(&mut visitor, refusal);
        }
        // Before the next client comes.
        drop(load);
        self.door.leaves(visitor);
    }

    /// All requests of one client. An error is why it is sent away.
    fn converse(&self, visitor: &mut Visitor, port: u16, load: &mut Option<Load>) -> Result<(), Refusal> {
        let Some(hello) = next(&mut visitor.channel, Instant::now() + HELLO, &mut || Ok(()))? else { return Ok(()) };
        let Request::Hello(Hello { protocol, fwd: _, token }) = hello else {
            return refuse(Reason::Request, "its first request is no hello");
        };
        if protocol != PROTOCOL {
            // It will see that this is another version.
            return reply(&mut visitor.channel, &Reply::Hello(Hello::ours(None)));
        }
        match token {
            None => return refuse(Reason::Token, "it gave no token"),
            Some(token) if !self.token.is(&token) => return refuse(Reason::Token, "its token is wrong"),
            Some(_) => self.door.let_in(visitor)?,
        }
        reply(&mut visitor.channel, &Reply::Hello(Hello::ours(None)))?;
        self.serve(visitor, port, load)
    }

    /// The requests after the hello.
    fn serve(&self, visitor: &mut Visitor, port: u16, load: &mut Option<Load>) -> Result<(), Refusal> {
        let leave = Instant::now() + self.limits.time;
        loop {
            let patience = load.as_ref().map_or_else(Instant::now, |load| load.until) + SILENCE;
            let mut check = || self.check(load.as_mut(), leave);
            let Some(request) = next(&mut visitor.channel, patience, &mut check)? else { return Ok(()) };
            let answer = match (request, &*load) {
                (Request::Start(request), None) => {
                    let started = self.start(visitor, &request, port, leave)?;
                    let answer = Reply::Ready { port: started.job.address().port(), key: started.job.key() };
                    *load = Some(started);
                    answer
                }
                (Request::Count, Some(Load { job, began, .. })) => Reply::Count(counted(job, *began)?),
                (Request::Stop, Some(_)) => {
                    *load = None;
                    Reply::Stopped
                }
                (Request::Wait, None) => Reply::Waiting,
                (Request::Hello(_) | Request::Start(_) | Request::Count | Request::Stop | Request::Wait, _) => {
                    return refuse(Reason::Request, "this request has no place here");
                }
            };
            reply(&mut visitor.channel, &answer)?;
        }
    }

    fn start(&self, visitor: &Visitor, request: &LoadRequest, port: u16, leave: Instant) -> Result<Load, Refusal> {
        request.check().map_err(|error| Refusal::new(Reason::Request, error.why))?;
        let now = Instant::now();
        let until = now + request.lasts();
        if until > leave {
            let limit = humantime::format_duration(self.limits.time);
            return refuse(Reason::Limit, format!("it serves one client for {limit} and no longer"));
        }
        let data = data_address(&visitor.channel, port)?;
        let guest = Guest::from_afar(visitor.peer.ip()).map_err(failed)?;
        let job = Job::start(request, data, guest, self.cpus).map_err(failed)?;
        self.door.starts(visitor, &format!("{} for {:?}", request.metric, request.lasts()));
        Ok(Load { job, began: now, until, looked: (now, 0) })
    }

    /// That the client is within its limits, now and then.
    fn check(&self, load: Option<&mut Load>, leave: Instant) -> Result<(), Refusal> {
        let now = Instant::now();
        if now > leave {
            let limit = humantime::format_duration(self.limits.time);
            return refuse(Reason::Limit, format!("it serves one client for {limit}, which are over"));
        }
        let Some(load) = load else { return Ok(()) };
        let elapsed = now - load.looked.0;
        if elapsed < RATE_OVER {
            return Ok(());
        }
        let bytes = load.job.bytes();
        let rate = bytes.saturating_sub(load.looked.1) as f64 * 8.0 / elapsed.as_secs_f64();
        load.looked = (now, bytes);
        match self.limits.rate {
            Some(most) if rate > most as f64 => {
                let (rate, most) = (rate / 1e6, most as f64 / 1e6);
                refuse(Reason::Limit, format!("the load has {rate:.1} Mbit/s, and --max-rate is {most} Mbit/s"))
            }
            _ => Ok(()),
        }
    }
}

/// Where a load goes: the address that the client has reached, so that datagrams come back from it.
fn data_address(channel: &Channel, port: u16) -> Result<SocketAddr, Refusal> {
    match channel.local_address() {
        Ok(address) => Ok(SocketAddr::new(address.ip(), port)),
        Err(error) => refuse(Reason::Failed, error.to_string()),
    }
}

/// The next request, until then; none if the client is done. `check` is called now and then.
fn next(
    channel: &mut Channel,
    until: Instant,
    check: &mut dyn FnMut() -> Result<(), Refusal>,
) -> Result<Option<Request>, Refusal> {
    let began = Instant::now();
    loop {
        let error = match channel.receive(INTERVAL) {
            // Also of whoever always has something to say.
            Ok(request) => return check().map(|()| request),
            Err(error) => error,
        };
        match error.kind() {
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => return Ok(None),
            ErrorKind::TimedOut if Instant::now() < until => check()?,
            ErrorKind::TimedOut => {
                return refuse(Reason::Request, format!("it said nothing for {:.0?}", began.elapsed()));
            }
            // Not what it was: its words would stand on the terminal.
            ErrorKind::InvalidData => return refuse(Reason::Request, "what it said is no request of fwd bench"),
            _ => return refuse(Reason::Failed, error.to_string()),
        }
    }
}

fn reply(channel: &mut Channel, reply: &Reply) -> Result<(), Refusal> {
    channel.send(reply).map_err(|error| Refusal::new(Reason::Failed, error.to_string()))
}

fn counted(job: &Job, since: Instant) -> Result<Counted, Refusal> {
    let count = job.count().map_err(failed)?;
    let at_ns = u64::try_from((count.at - since).as_nanos()).unwrap_or(u64::MAX);
    Ok(Counted { at_ns, amount: count.amount, cpu_ns: count.cpu })
}

fn failed(error: Error) -> Refusal {
    Refusal::new(Reason::Failed, error.to_string())
}

fn refuse<T>(reason: Reason, why: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::new(reason, why))
}
