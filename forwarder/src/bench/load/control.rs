//! What a client and `fwd bench --serve` tell each other, beside the load itself.
//!
//! One TCP connection, one JSON value a line, at most [`LONGEST_LINE`] bytes. The client speaks first and each request has one
//! reply:
//!
//! | request | reply |
//! |---|---|
//! | `{"hello":{"protocol":1,"fwd":"0.1.0"}}` | `{"hello":{"protocol":1,"fwd":"0.1.0"}}` |
//! | `{"start":{"metric":"tcp-rr","size":64,"streams":1,"lasts_ms":1200}}` | `{"ready":{"port":5211}}` |
//! | `"count"` | `{"count":{"at_ns":200000000,"amount":20000,"cpu_ns":150000000}}` |
//! | `"stop"` | `"stopped"` |
//!
//! or `{"refused":{"why":"…"}}`, after which the server closes the connection. `start` … `stop` may be repeated. The load goes to
//! the port that `ready` names, over TCP or UDP as its metric needs: the one after that of the control connection, so that a
//! firewall has two ports to let through. `count` is what the server has received or served since `start` and the CPU time that its
//! threads took, with the moment on the server's clock: the client reads it where its measured window begins and ends.
//!
//! Nothing is secret and nobody is identified: whoever reaches the ports can have the server send and receive.

use std::{
    io::{self, BufRead as _, BufReader, ErrorKind, Write as _},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::ask::Ask;

/// Version of all this.
pub(super) const PROTOCOL: u32 = 1;
/// Bytes of a line with its end.
const LONGEST_LINE: usize = 4_096;

/// Who speaks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Hello {
    /// [`PROTOCOL`].
    pub(super) protocol: u32,
    /// Version of `fwd`.
    pub(super) fwd: String,
}

impl Hello {
    /// Of this program.
    pub(super) fn ours() -> Self {
        Self { protocol: PROTOCOL, fwd: env!("CARGO_PKG_VERSION").into() }
    }
}

/// From the client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Request {
    /// The first one.
    Hello(Hello),
    /// Take part in a load.
    Start(Ask),
    /// Tell what is counted.
    Count,
    /// End the load.
    Stop,
}

/// From the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Reply {
    /// To a hello.
    Hello(Hello),
    /// To a start: where the load goes.
    Ready {
        /// Of the address that the control connection goes to.
        port: u16,
    },
    /// To a count.
    Count(Counted),
    /// To a stop.
    Stopped,
    /// To anything.
    Refused {
        /// For the user.
        why: String,
    },
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

/// A connection on which both sides send lines.
#[derive(Debug)]
pub(super) struct Channel(BufReader<TcpStream>);

impl Channel {
    /// Over a connection.
    pub(super) fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Its end on this side.
    pub(super) fn local_address(&self) -> io::Result<SocketAddr> {
        self.0.get_ref().local_addr()
    }

    /// Sends one line, in one packet.
    pub(super) fn send(&mut self, value: &impl Serialize) -> io::Result<()> {
        let mut line = serde_json::to_vec(value)?;
        line.push(b'\n');
        self.0.get_mut().write_all(&line)
    }

    /// Waits for one whole line. `None` where the connection was closed instead.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] if it is not there within `patience`, [`ErrorKind::InvalidData`] if it is none of ours.
    pub(super) fn receive<T: DeserializeOwned>(&mut self, patience: Duration) -> io::Result<Option<T>> {
        let deadline = Instant::now() + patience;
        let mut line = Vec::new();
        while line.last() != Some(&b'\n') {
            // However slowly it drips, it is over at the deadline.
            let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            self.0.get_ref().set_read_timeout(Some(left))?;
            let bytes = match self.0.fill_buf() {
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Err(ErrorKind::TimedOut.into()),
                bytes => bytes?,
            };
            if bytes.is_empty() {
                return Ok(None);
            }
            let length = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |end| end + 1);
            line.extend_from_slice(bytes.get(..length).unwrap_or(bytes));
            self.0.consume(length);
            if line.len() > LONGEST_LINE {
                return Err(io::Error::new(ErrorKind::InvalidData, "the line is too long"));
            }
        }
        serde_json::from_slice(&line).map(Some).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::bench::Metric;

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
        let ask = Ask { metric: Metric::TcpRr, size: 64, streams: 1, lasts_ms: 1200 };
        let start = br#"{"start":{"metric":"tcp-rr","size":64,"streams":1,"lasts_ms":1200}}"#;
        assert_eq!(receives(&[&start[..], b"\n"].concat()).expect("a line"), Some(Request::Start(ask)));
        assert_eq!(receives(b"\"count\"\n").expect("a line"), Some(Request::Count));
        let hello = serde_json::to_string(&Reply::Hello(Hello { protocol: 1, fwd: "0.1.0".into() })).expect("JSON");
        assert_eq!(hello, r#"{"hello":{"protocol":1,"fwd":"0.1.0"}}"#);
        assert_eq!(serde_json::to_string(&Reply::Ready { port: 5211 }).expect("JSON"), r#"{"ready":{"port":5211}}"#);
        assert_eq!(serde_json::to_string(&Reply::Stopped).expect("JSON"), r#""stopped""#);
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
    fn a_line_that_never_ends_is_waited_for_no_longer_than_allowed() {
        let (mut stream, mut channel) = pair();
        stream.write_all(b"{").expect("loopback");
        let received = channel.receive::<Request>(Duration::from_millis(20));
        assert_eq!(received.expect_err("it is not whole").kind(), ErrorKind::TimedOut);
    }
}
