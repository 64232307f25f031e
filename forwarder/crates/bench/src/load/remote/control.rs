//! What a client and `fwd bench --serve` tell each other, beside the load itself.
//!
//! One TCP connection, one JSON value a line, at most [`LONGEST_LINE`] bytes. The client speaks first and each request has one
//! reply:
//!
//! | request | reply |
//! |---|---|
//! | `{"hello":{"protocol":3,"fwd":"0.1.0","token":"k7qf-2m3x-9dwa-p5bt"}}` | `{"hello":{"protocol":3,"fwd":"0.1.0"}}` |
//! | `{"start":{"metric":"tcp-rr","size":64,"streams":1,"lasts_ms":1200}}` | `{"ready":{"port":5211,"key":"9f…"}}` |
//! | `"count"` | `{"count":{"at_ns":200000000,"amount":20000,"cpu_ns":150000000}}` |
//! | `"stop"` | `"stopped"` |
//! | `"wait"` | `"waiting"` |
//!
//! or `{"refused":{"reason":"busy","why":"…"}}`, after which the server closes the connection. `start` … `stop` may be repeated.
//! Between two loads, a client that has to wait says so every second: whoever says nothing for long is sent away.
//!
//! The load goes to the port that `ready` names, over TCP or UDP as its metric needs: the one after that of the control connection,
//! so that a firewall has two ports to let through. Each of its TCP connections begins with the 16 bytes of the key, over UDP the
//! first datagram is the key, which the server sends back; what comes without is ignored. `count` is what the server has received
//! or served since `start` and the CPU time that its threads took, with the moment on the server's clock: the client reads it where
//! its measured window begins and ends.
//!
//! The token is printed by the server. Nothing is encrypted: who reads the traffic of a client knows token and key.

use std::{
    io::{self, BufRead as _, BufReader, ErrorKind, Write as _},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::load::{load_request::LoadRequest, secret::Key};

/// Version of all this.
pub(super) const PROTOCOL: u32 = 3;
/// Bytes of a line with its end.
const LONGEST_LINE: usize = 4_096;
/// Letters of what the other side says that are shown.
const SHOWN: usize = 300;

/// Who speaks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Hello {
    /// [`PROTOCOL`].
    pub(super) protocol: u32,
    /// Version of `fwd`.
    pub(super) fwd: String,
    /// From a client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) token: Option<String>,
}

impl Hello {
    /// Of this program.
    pub(super) fn ours(token: Option<String>) -> Self {
        Self { protocol: PROTOCOL, fwd: env!("CARGO_PKG_VERSION").into(), token }
    }
}

/// From the client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Request {
    /// The first one.
    Hello(Hello),
    /// Take part in a load.
    Start(LoadRequest),
    /// Tell what is counted.
    Count,
    /// End the load.
    Stop,
    /// Nothing yet.
    Wait,
}

/// From the server.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Reply {
    /// To a hello.
    Hello(Hello),
    /// To a start: where the load goes.
    Ready {
        /// Of the address that the control connection goes to.
        port: u16,
        /// With which it begins.
        key: Key,
    },
    /// To a count.
    Count(Counted),
    /// To a stop.
    Stopped,
    /// To a wait.
    Waiting,
    /// To anything.
    Refused(Refusal),
}

/// Why a client is sent away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Refusal {
    /// For the client.
    pub(super) reason: Reason,
    /// For its user.
    pub(super) why: String,
}

/// Kinds of refusals, each with its remedy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Reason {
    /// There is no token, or a wrong one.
    Token,
    /// Another client is being served.
    Busy,
    /// That is more than the server allows.
    Limit,
    /// What it says makes no sense, or nothing came.
    Request,
    /// The server could not do it.
    #[serde(other)]
    Failed,
}

impl Refusal {
    pub(super) fn new(reason: Reason, why: impl Into<String>) -> Self {
        Self { reason, why: why.into() }
    }
}

/// What a server has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counted {
    /// When it was counted, nanoseconds after the start.
    pub(super) at_ns: u64,
    /// Round trips, connections, datagrams, or bytes since then.
    pub(super) amount: u64,
    /// CPU time of the threads since then, nanoseconds.
    pub(super) cpu_ns: u64,
}

/// What the other side says, for a terminal: it chooses its words itself.
pub(super) fn shown(said: &str) -> String {
    said.chars().take(SHOWN).map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect()
}

/// A connection on which both sides send lines.
#[derive(Debug)]
pub(super) struct Channel {
    reader: BufReader<TcpStream>,
    /// What has come of a line that is not whole yet.
    line: Vec<u8>,
}

impl Channel {
    /// Over a connection.
    pub(super) fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self { reader: BufReader::new(stream), line: Vec::new() })
    }

    /// Its end on this side.
    pub(super) fn local_address(&self) -> io::Result<SocketAddr> {
        self.reader.get_ref().local_addr()
    }

    /// Sends one line, in one packet.
    pub(super) fn send(&mut self, value: &impl Serialize) -> io::Result<()> {
        let mut line = serde_json::to_vec(value)?;
        line.push(b'\n');
        self.reader.get_mut().write_all(&line)
    }

    /// Waits for one whole line. `None` where the connection was closed instead.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] if it is not there within `patience`: it may still come. [`ErrorKind::InvalidData`] if it is none
    /// of ours.
    pub(super) fn receive<T: DeserializeOwned>(&mut self, patience: Duration) -> io::Result<Option<T>> {
        let deadline = Instant::now() + patience;
        while self.line.last() != Some(&b'\n') {
            // However slowly it drips, it is over at the deadline.
            let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            self.reader.get_ref().set_read_timeout(Some(left))?;
            let bytes = match self.reader.fill_buf() {
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Err(ErrorKind::TimedOut.into()),
                bytes => bytes?,
            };
            if bytes.is_empty() {
                return Ok(None);
            }
            let length = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |end| end + 1);
            self.line.extend_from_slice(bytes.get(..length).unwrap_or(bytes));
            self.reader.consume(length);
            if self.line.len() > LONGEST_LINE {
                return Err(io::Error::new(ErrorKind::InvalidData, "the line is too long"));
            }
            if Instant::now() > deadline && self.line.last() != Some(&b'\n') {
                return Err(ErrorKind::TimedOut.into());
            }
        }
        let line = std::mem::take(&mut self.line);
        serde_json::from_slice(&line).map(Some).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::Metric;

    fn pair() -> (TcpStream, Channel) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let stream = TcpStream::connect(listener.local_addr().expect("bound")).expect("loopback");
        (stream, Channel::new(listener.accept().expect("loopback").0).expect("a socket"))
    }

    #[track_caller]
    fn receives(bytes: &[u8]) -> io::Result<Option<Request>> {
        let (mut stream, mut channel) = pair();
        stream.write_all(bytes).expect("loopback");
        drop(stream);
        channel.receive(Duration::from_secs(5))
    }

    #[test]
    fn lines_are_as_documented() {
        let request = LoadRequest { metric: Metric::TcpRr, size: 64, streams: 1, lasts_ms: 1200 };
        let start = br#"{"start":{"metric":"tcp-rr","size":64,"streams":1,"lasts_ms":1200}}"#;
        assert_eq!(receives(&[&start[..], b"\n"].concat()).expect("a line"), Some(Request::Start(request)));
        assert_eq!(receives(b"\"count\"\n").expect("a line"), Some(Request::Count));
        assert_eq!(receives(b"\"wait\"\n").expect("a line"), Some(Request::Wait));
        let hello = Hello { protocol: 3, fwd: "0.1.0".into(), token: Some("k7qf-2m3x".into()) };
        let line = serde_json::to_string(&Request::Hello(hello.clone())).expect("JSON");
        assert_eq!(line, r#"{"hello":{"protocol":3,"fwd":"0.1.0","token":"k7qf-2m3x"}}"#);
        let said = |reply: &Reply| serde_json::to_string(reply).expect("JSON");
        assert_eq!(said(&Reply::Hello(Hello { token: None, ..hello })), r#"{"hello":{"protocol":3,"fwd":"0.1.0"}}"#);
        let ready = Reply::Ready { port: 5211, key: Key([0x9f; 16]) };
        assert_eq!(said(&ready), format!(r#"{{"ready":{{"port":5211,"key":"{}"}}}}"#, "9f".repeat(16)));
        assert_eq!((said(&Reply::Stopped), said(&Reply::Waiting)), (r#""stopped""#.into(), r#""waiting""#.into()));
        let refused = Reply::Refused(Refusal::new(Reason::Busy, "…"));
        assert_eq!(said(&refused), r#"{"refused":{"reason":"busy","why":"…"}}"#);
    }

    #[test]
    fn what_is_no_line_of_ours_is_told_apart() {
        assert_eq!(receives(b"").expect("closed"), None);
        assert_eq!(receives(b"\"count\"").expect("closed within a line"), None);
        for nonsense in [&b"GET / HTTP/1.1\r\n"[..], b"{}\n", b"\"start\"\n", b"\xff\xfe\n", b"\n", &[b'x'; 10_000]] {
            assert_eq!(receives(nonsense).expect_err("nonsense").kind(), ErrorKind::InvalidData);
        }
    }

    #[test]
    fn a_line_that_never_ends_is_waited_for_no_longer_than_allowed_and_may_end_later() {
        let (mut stream, mut channel) = pair();
        stream.write_all(b"\"cou").expect("loopback");
        let received = channel.receive::<Request>(Duration::from_millis(20));
        assert_eq!(received.expect_err("it is not whole").kind(), ErrorKind::TimedOut);
        stream.write_all(b"nt\"\n").expect("loopback");
        assert_eq!(channel.receive(Duration::from_secs(5)).expect("the rest"), Some(Request::Count));
    }

    #[test]
    fn what_the_other_side_says_cannot_write_to_the_terminal() {
        assert_eq!(shown("\u{1b}]0;owned\u{7}\nlies"), "\u{fffd}]0;owned\u{fffd}\u{fffd}lies");
        assert_eq!(shown(&"x".repeat(10_000)).len(), SHOWN);
    }
}
