//! A socket of NETLINK_NETFILTER.

use std::io;

use rtnetlink::{
    packet_core::{
        NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkBuffer, NetlinkMessage, NetlinkPayload,
    },
    sys::{SocketAddr, protocols::NETLINK_NETFILTER},
};

use super::{Failure, Message};

/// How often a list is read again because it changed meanwhile, before that is an error.
const DUMP_ATTEMPTS: usize = 64;

/// A socket of NETLINK_NETFILTER in the network namespace of the thread that opened it.
pub(super) struct Socket(rtnetlink::sys::Socket);

impl Socket {
    pub(super) fn open() -> Result<Self, Failure> {
        let mut socket = rtnetlink::sys::Socket::new(NETLINK_NETFILTER)?;
        socket.bind_auto()?;
        socket.set_ext_ack(true)?;
        socket.set_cap_ack(true)?;
        // The kernel works within send(2): when it returns, the answers are there. A list is continued by each receive.
        socket.set_non_blocking(true)?;
        Ok(Self(socket))
    }

    /// Makes all changes or none.
    pub(super) fn commit(&self, changes: &[Message]) -> Result<(), Failure> {
        let mut datagram = Vec::new();
        append(&mut datagram, Message::batch_begin(), NLM_F_REQUEST);
        for change in changes {
            append(&mut datagram, change.clone(), NLM_F_REQUEST | NLM_F_ACK | change.flags());
        }
        append(&mut datagram, Message::batch_end(), NLM_F_REQUEST);
        self.send(&datagram)?;
        let mut acknowledged = 0;
        while let Some(messages) = self.receive()? {
            for message in messages {
                if let NetlinkPayload::Error(error) = message.payload {
                    if error.code.is_some() {
                        return Err(Failure::from_message(&error, message.header.flags));
                    }
                    acknowledged += 1;
                }
            }
        }
        if acknowledged == changes.len() {
            Ok(())
        } else {
            Err(Failure::Io(io::Error::other("the kernel did not answer the transaction")))
        }
    }

    /// Lists what `query` names, again while the kernel says that the list changed under it.
    pub(super) fn list(&self, query: &Message) -> Result<Vec<Message>, Failure> {
        for _ in 0..DUMP_ATTEMPTS {
            if let Some(messages) = self.list_once(query)? {
                return Ok(messages);
            }
        }
        Err(Failure::Disturbed)
    }

    /// None: the list changed while it was read.
    fn list_once(&self, query: &Message) -> Result<Option<Vec<Message>>, Failure> {
        let mut datagram = Vec::new();
        append(&mut datagram, query.clone(), NLM_F_REQUEST | NLM_F_DUMP);
        self.send(&datagram)?;
        let mut found = Vec::new();
        let mut interrupted = false;
        while let Some(messages) = self.receive()? {
            for message in messages {
                let (header, payload) = message.into_parts();
                interrupted |= header.flags & NLM_F_DUMP_INTR != 0;
                match payload {
                    NetlinkPayload::InnerMessage(message) => found.push(message),
                    NetlinkPayload::Error(error) if error.code.is_some() => {
                        return Err(Failure::from_message(&error, header.flags));
                    }
                    NetlinkPayload::Done(done) if done.code < 0 => return Err(Failure::from_code(done.code)),
                    NetlinkPayload::Done(_) => return Ok((!interrupted).then_some(found)),
                    _ => {}
                }
            }
        }
        Err(Failure::Io(io::Error::other("the kernel did not finish the list")))
    }

    fn send(&self, datagram: &[u8]) -> Result<(), Failure> {
        self.0.send_to(datagram, &SocketAddr::new(0, 0), 0)?;
        Ok(())
    }

    /// The messages of the next datagram; none: nothing is there.
    fn receive(&self) -> Result<Option<Vec<NetlinkMessage<Message>>>, Failure> {
        let datagram = match self.0.recv_from_full() {
            Ok((datagram, _)) => datagram,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let mut rest = datagram.as_slice();
        let mut messages = Vec::new();
        while !rest.is_empty() {
            let malformed = |error| Failure::Io(io::Error::new(io::ErrorKind::InvalidData, error));
            let length = NetlinkBuffer::new_checked(rest).map_err(malformed)?.length() as usize;
            let (message, after) = rest.split_at(length.min(rest.len()));
            messages.push(NetlinkMessage::deserialize(message).map_err(malformed)?);
            rest = after.get(length.next_multiple_of(4) - length..).unwrap_or_default();
        }
        Ok(Some(messages))
    }
}

fn append(datagram: &mut Vec<u8>, message: Message, flags: u16) {
    let mut message = NetlinkMessage::from(message);
    message.header.flags = flags;
    message.finalize();
    let start = datagram.len();
    datagram.resize(start + message.buffer_len(), 0);
    message.serialize(&mut datagram[start..]);
}
