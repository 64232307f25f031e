//! Messages of JSON over a stream, each behind its length in four bytes, and descriptors along with it.

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde::{Serialize, de::DeserializeOwned};

/// Descriptors with one message: of UDP and TCP, for both families.
pub(super) const DESCRIPTORS: usize = 4;
/// Bytes of a message at most: some hundred for each of more endpoints than a host has.
const MESSAGE: usize = 64 << 20;
/// Bytes that are read at a time.
const PIECE: usize = 64 << 10;

/// Sends a message with descriptors.
///
/// # Errors
/// The other end is gone, or is silent for longer than the socket allows.
pub(crate) fn send(socket: impl AsFd, message: &impl Serialize, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let text = serde_json::to_vec(message)?;
    let length = u32::try_from(text.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let bytes = [&length.to_le_bytes()[..], &text].concat();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        let sent = sendmsg(&socket, &[IoSlice::new(rest)], &mut ancillary, SendFlags::NOSIGNAL)?;
        // They have gone with the first byte.
        ancillary.clear();
        rest = rest.get(sent..).unwrap_or_default();
    }
    Ok(())
}

/// What has come of a message so far.
#[derive(Debug, Default)]
pub(crate) struct Incoming {
    bytes: Vec<u8>,
    descriptors: Vec<OwnedFd>,
}

impl Incoming {
    /// Takes in what there is to read: true once the message is whole. False: there is more to come.
    ///
    /// # Errors
    /// The other end has closed, or what comes is no such message.
    pub(crate) fn read(&mut self, socket: impl AsFd) -> io::Result<bool> {
        let wanted = match self.length()? {
            None => 4 - self.bytes.len(),
            Some(length) => 4 + length - self.bytes.len(),
        };
        let mut piece = vec![0; wanted.min(PIECE)];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let got = recvmsg(&socket, &mut [IoSliceMut::new(&mut piece)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
        if got.bytes == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                self.descriptors.extend(descriptors);
            }
        }
        if got.flags.contains(ReturnFlags::CTRUNC) || self.descriptors.len() > DESCRIPTORS {
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.bytes.extend(piece.get(..got.bytes).unwrap_or_default());
        Ok(self.length()?.is_some_and(|length| self.bytes.len() == 4 + length))
    }

    /// Bytes of the text, once that is known.
    fn length(&self) -> io::Result<Option<usize>> {
        let Some(length) = self.bytes.first_chunk::<4>() else { return Ok(None) };
        let length = u32::from_le_bytes(*length) as usize;
        if length > MESSAGE { Err(io::ErrorKind::InvalidData.into()) } else { Ok(Some(length)) }
    }

    /// The message, and what came with it.
    ///
    /// # Errors
    /// It is not one that is known here.
    pub(crate) fn finish<T: DeserializeOwned>(self) -> io::Result<(T, Vec<OwnedFd>)> {
        let text = self.bytes.get(4..).unwrap_or_default();
        Ok((serde_json::from_slice(text)?, self.descriptors))
    }
}

/// Receives a message, from a socket that waits.
///
/// # Errors
/// As [`Incoming::read`] and [`Incoming::finish`].
pub(crate) fn receive<T: DeserializeOwned>(socket: impl AsFd) -> io::Result<T> {
    let mut incoming = Incoming::default();
    while !incoming.read(&socket)? {}
    incoming.finish().map(|(message, _)| message)
}

#[cfg(test)]
mod tests {
    use std::{fs::File, io::Read as _, os::unix::net::UnixStream};

    use super::*;

    #[test]
    fn messages_come_with_their_descriptors_one_after_another() {
        let (near, far) = UnixStream::pair().expect("a pair");
        let file = File::open("/proc/self/comm").expect("a file");
        send(&near, &"first", &[file.as_fd(), file.as_fd()]).expect("it is sent");
        send(&near, &"x".repeat(100_000), &[]).expect("it is sent");
        let mut incoming = Incoming::default();
        while !incoming.read(&far).expect("it comes") {}
        let (text, descriptors): (String, _) = incoming.finish().expect("a message");
        assert_eq!((text.as_str(), descriptors.len()), ("first", 2));
        let mut read = String::new();
        File::from(descriptors.into_iter().next().expect("one")).read_to_string(&mut read).expect("readable");
        assert!(!read.is_empty(), "it is the very file");
        assert_eq!(receive::<String>(&far).expect("the second").len(), 100_000);
        drop(near);
        assert!(receive::<String>(&far).is_err(), "the end");
    }

    #[test]
    fn what_is_no_message_is_refused() {
        let (near, far) = UnixStream::pair().expect("a pair");
        rustix::io::write(&near, &u32::MAX.to_le_bytes()).expect("it is sent");
        assert_eq!(receive::<String>(&far).expect_err("too long").kind(), io::ErrorKind::InvalidData);
        let (near, far) = UnixStream::pair().expect("a pair");
        send(&near, &7, &[]).expect("it is sent");
        assert!(receive::<String>(&far).is_err(), "of another kind");
    }
}
