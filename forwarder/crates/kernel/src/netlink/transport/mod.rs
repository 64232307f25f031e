//! Requests and answers on one socket of the routing netlink.

pub(super) mod dump;
mod failure;
mod legible;

pub(super) use self::failure::Failure;

use std::{
    io,
    sync::{Mutex, PoisonError},
};

use rtnetlink::{
    packet_core::{
        NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkBuffer, NetlinkMessage, NetlinkPayload,
    },
    packet_route::RouteNetlinkMessage,
    sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE},
};

/// How often a list is read again because it changed meanwhile, before that is an error.
const DUMP_ATTEMPTS: usize = 64;
/// The kernel puts at most 32 KiB into a datagram (`netlink_recvmsg`, net/netlink/af_netlink.c), or one larger object.
const DATAGRAM: usize = 64 * 1024;

/// A socket in the network namespace of the thread that made it.
///
/// The kernel works within send(2) and has answered when it returns; a list it continues with each receive. So nothing ever waits, and
/// a request costs two or three system calls.
pub(super) struct Transport(Mutex<Connection>);

struct Connection {
    socket: Socket,
    sequence: u32,
    datagram: Vec<u8>,
}

impl Transport {
    /// A socket in the network namespace of the calling thread.
    ///
    /// Strict checking makes the kernel filter lists by what the request names (`NETLINK_GET_STRICT_CHK`); its reasons in words
    /// come instead of a copy of the request (`NETLINK_EXT_ACK`, `NETLINK_CAP_ACK`).
    pub(super) fn here() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.set_netlink_get_strict_chk(true)?;
        socket.set_ext_ack(true)?;
        socket.set_cap_ack(true)?;
        socket.set_non_blocking(true)?;
        Ok(Self(Mutex::new(Connection { socket, sequence: 0, datagram: Vec::with_capacity(DATAGRAM) })))
    }

    /// Sends one request and collects what the kernel answers.
    pub(super) fn request(
        &self,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> Result<Vec<RouteNetlinkMessage>, Failure> {
        self.exchange(message, flags).map(|answer| answer.objects)
    }

    /// Lists, again while the kernel says that the list changed under it.
    pub(super) fn dump(&self, message: &RouteNetlinkMessage) -> Result<Vec<RouteNetlinkMessage>, Failure> {
        for _ in 0..DUMP_ATTEMPTS {
            let answer = self.exchange(message.clone(), NLM_F_REQUEST | NLM_F_DUMP)?;
            if !answer.interrupted {
                return Ok(answer.objects);
            }
        }
        Err(Failure::Disturbed)
    }

    fn exchange(&self, message: RouteNetlinkMessage, flags: u16) -> Result<Answer, Failure> {
        // A panic of another thread leaves nothing worse behind than an answer that is not waited for.
        let mut connection = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        connection.send(message, flags)?;
        let mut answer = Answer::default();
        while !answer.complete {
            connection.receive(flags, &mut answer)?;
        }
        Ok(answer)
    }
}

impl Connection {
    fn send(&mut self, message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut request = NetlinkMessage::from(message);
        request.header.flags = flags;
        request.header.sequence_number = self.sequence;
        request.finalize();
        let mut datagram = vec![0; request.buffer_len()];
        request.serialize(&mut datagram);
        self.socket.send_to(&datagram, &SocketAddr::new(0, 0), 0).map(drop)
    }

    /// Takes the messages of the next datagram.
    fn receive(&mut self, flags: u16, answer: &mut Answer) -> Result<(), Failure> {
        self.datagram.clear();
        let length = match self.socket.recv(&mut self.datagram, libc::MSG_TRUNC) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(Failure::Io(io::Error::other("the kernel did not answer")));
            }
            length => length?,
        };
        let malformed = |error| Failure::Io(io::Error::new(io::ErrorKind::InvalidData, error));
        if length > self.datagram.len() {
            return Err(Failure::Io(io::Error::other(format!("an answer of {length} bytes is too long"))));
        }
        let mut rest = self.datagram.as_slice();
        while !rest.is_empty() {
            let length = NetlinkBuffer::new_checked(rest).map_err(malformed)?.length() as usize;
            let (message, after) = rest.split_at(length.min(rest.len()));
            let message = NetlinkMessage::deserialize(message)
                .or_else(|_| NetlinkMessage::deserialize(&legible::mended(message)))
                .map_err(malformed)?;
            // What an earlier request that failed half-way has left is not for this one.
            if message.header.sequence_number == self.sequence {
                answer.take(message, flags)?;
            }
            rest = after.get(length.next_multiple_of(4) - length..).unwrap_or_default();
        }
        Ok(())
    }
}

/// What came back.
#[derive(Default)]
struct Answer {
    objects: Vec<RouteNetlinkMessage>,
    interrupted: bool,
    complete: bool,
}

impl Answer {
    /// Takes a message of the answer to a request with `flags`.
    fn take(&mut self, response: NetlinkMessage<RouteNetlinkMessage>, flags: u16) -> Result<(), Failure> {
        let (header, payload) = response.into_parts();
        self.interrupted |= header.flags & NLM_F_DUMP_INTR != 0;
        match payload {
            NetlinkPayload::InnerMessage(object) => {
                self.objects.push(object);
                // Neither a list nor to be acknowledged: the one object is all.
                self.complete |= flags & (NLM_F_DUMP | NLM_F_ACK) == 0;
            }
            NetlinkPayload::Error(error) if error.code.is_some() => {
                return Err(Failure::from_message(&error, header.flags));
            }
            NetlinkPayload::Done(done) if done.code < 0 => return Err(Failure::from_code(done.code)),
            NetlinkPayload::Error(_) | NetlinkPayload::Done(_) => self.complete = true,
            NetlinkPayload::Overrun(_) => return Err(Failure::from_code(libc::ENOBUFS)),
            _ => {}
        }
        Ok(())
    }
}
