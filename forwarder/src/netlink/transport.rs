//! Requests and answers on one socket of the routing netlink.

use std::io;

use futures_util::StreamExt;
use rtnetlink::{
    Handle, new_connection_with_strict_check,
    packet_core::{NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload},
    packet_route::RouteNetlinkMessage,
    proto::{Connection, sys::AsyncSocket},
};
use tokio::runtime::{self, Runtime};

use super::Failure;

/// How often a list is read again because it changed meanwhile, before that is an error.
const DUMP_ATTEMPTS: usize = 64;

/// A connection and the single-threaded runtime that drives it, on the thread of the caller and only during a call.
pub(super) struct Transport {
    runtime: Runtime,
    handle: Handle,
}

/// The runtime of one connection.
pub(super) fn runtime() -> io::Result<Runtime> {
    runtime::Builder::new_current_thread().enable_io().build()
}

/// A socket in the network namespace of the calling thread, registered with `runtime`.
///
/// Strict checking makes the kernel filter lists by what the request names (`NETLINK_GET_STRICT_CHK`); its reasons in words
/// come instead of a copy of the request (`NETLINK_EXT_ACK`, `NETLINK_CAP_ACK`).
pub(super) fn connect(runtime: &runtime::Handle) -> io::Result<(Handle, Connection<RouteNetlinkMessage>)> {
    let _context = runtime.enter();
    let (mut connection, handle, _unsolicited) = new_connection_with_strict_check()?;
    connection.set_forward_done(true);
    let socket = connection.socket_mut().socket_mut();
    socket.set_ext_ack(true)?;
    socket.set_cap_ack(true)?;
    Ok((handle, connection))
}

impl Transport {
    pub(super) fn new(runtime: Runtime, handle: Handle, connection: Connection<RouteNetlinkMessage>) -> Self {
        runtime.spawn(connection);
        Self { runtime, handle }
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
        let mut request = NetlinkMessage::from(message);
        request.header.flags = flags;
        let closed = || Failure::Io(io::ErrorKind::NotConnected.into());
        let mut responses = self.handle.clone().request(request).map_err(|_| closed())?;
        self.runtime.block_on(async {
            let mut answer = Answer::default();
            while let Some(response) = responses.next().await {
                answer.take(response)?;
            }
            Ok(answer)
        })
    }
}

/// What came back.
#[derive(Default)]
struct Answer {
    objects: Vec<RouteNetlinkMessage>,
    interrupted: bool,
}

impl Answer {
    fn take(&mut self, response: NetlinkMessage<RouteNetlinkMessage>) -> Result<(), Failure> {
        let (header, payload) = response.into_parts();
        self.interrupted |= header.flags & NLM_F_DUMP_INTR != 0;
        match payload {
            NetlinkPayload::InnerMessage(object) => self.objects.push(object),
            NetlinkPayload::Error(error) if error.code.is_some() => {
                return Err(Failure::from_message(&error, header.flags));
            }
            NetlinkPayload::Done(done) if done.code < 0 => return Err(Failure::from_code(done.code)),
            NetlinkPayload::Overrun(_) => return Err(Failure::from_code(libc::ENOBUFS)),
            _ => {}
        }
        Ok(())
    }
}
