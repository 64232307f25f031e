//! Requests to netlink protocols other than the routing one.

use std::io;

use rtnetlink::{
    packet_core::{
        NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkBuffer, NetlinkDeserializable, NetlinkMessage,
        NetlinkPayload, NetlinkSerializable,
    },
    sys::{Socket, SocketAddr},
};

use super::Failure;

/// How often a list is read again because it changed meanwhile, before that is an error.
const DUMP_ATTEMPTS: usize = 64;

/// A message of such a protocol.
pub(in crate::netlink) trait Message:
    NetlinkSerializable + NetlinkDeserializable + Clone + Into<NetlinkPayload<Self>>
{
}

impl<T: NetlinkSerializable + NetlinkDeserializable + Clone + Into<NetlinkPayload<T>>> Message for T {}

/// A socket in the network namespace of the calling thread.
pub(in crate::netlink) fn open(protocol: isize) -> Result<Socket, Failure> {
    let mut socket = Socket::new(protocol)?;
    socket.bind_auto()?;
    socket.set_ext_ack(true)?;
    socket.set_cap_ack(true)?;
    // The kernel works within send(2): when it returns, the answers are there. A list is continued by each receive.
    socket.set_non_blocking(true)?;
    Ok(socket)
}

/// Lists what `query` names, again while the kernel says that the list changed under it.
pub(in crate::netlink) fn list<M: Message>(socket: &Socket, query: &M) -> Result<Vec<M>, Failure> {
    for _ in 0..DUMP_ATTEMPTS {
        if let Some(messages) = list_once(socket, query)? {
            return Ok(messages);
        }
    }
    Err(Failure::Disturbed)
}

/// None: the list changed while it was read.
fn list_once<M: Message>(socket: &Socket, query: &M) -> Result<Option<Vec<M>>, Failure> {
    let mut datagram = Vec::new();
    append(&mut datagram, query.clone(), NLM_F_REQUEST | NLM_F_DUMP);
    send(socket, &datagram)?;
    let mut found = Vec::new();
    let mut interrupted = false;
    while let Some(messages) = receive(socket)? {
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

/// Asks for one object.
pub(in crate::netlink) fn get<M: Message>(socket: &Socket, query: &M) -> Result<Option<M>, Failure> {
    let mut datagram = Vec::new();
    append(&mut datagram, query.clone(), NLM_F_REQUEST);
    send(socket, &datagram)?;
    for message in receive(socket)?.unwrap_or_default() {
        let (header, payload) = message.into_parts();
        match payload {
            NetlinkPayload::InnerMessage(message) => return Ok(Some(message)),
            NetlinkPayload::Error(error) if error.code.is_some() => {
                return Err(Failure::from_message(&error, header.flags));
            }
            _ => {}
        }
    }
    Ok(None)
}

/// Sends what [`append`] has put together.
pub(in crate::netlink) fn send(socket: &Socket, datagram: &[u8]) -> Result<(), Failure> {
    socket.send_to(datagram, &SocketAddr::new(0, 0), 0)?;
    Ok(())
}

/// The messages of the next datagram; none: nothing is there.
pub(in crate::netlink) fn receive<M: Message>(socket: &Socket) -> Result<Option<Vec<NetlinkMessage<M>>>, Failure> {
    let datagram = match socket.recv_from_full() {
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

/// Adds a message to those that are sent together.
pub(in crate::netlink) fn append<M: Message>(datagram: &mut Vec<u8>, message: M, flags: u16) {
    let mut message = NetlinkMessage::from(message);
    message.header.flags = flags;
    message.finalize();
    let start = datagram.len();
    datagram.resize(start + message.buffer_len(), 0);
    message.serialize(&mut datagram[start..]);
}
