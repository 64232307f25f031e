//! A socket of NETLINK_NETFILTER.

use std::io;

use rtnetlink::{
    packet_core::{NLM_F_ACK, NLM_F_REQUEST, NetlinkPayload},
    sys::protocols::NETLINK_NETFILTER,
};

use super::{super::transport::dump, Failure, Message};

/// A socket of NETLINK_NETFILTER in the network namespace of the thread that opened it.
pub(super) struct Socket(rtnetlink::sys::Socket);

impl Socket {
    pub(super) fn open() -> Result<Self, Failure> {
        dump::open(NETLINK_NETFILTER).map(Self)
    }

    /// Makes all changes or none.
    pub(super) fn commit(&self, changes: &[Message]) -> Result<(), Failure> {
        let mut datagram = Vec::new();
        dump::append(&mut datagram, Message::batch_begin(), NLM_F_REQUEST);
        for change in changes {
            dump::append(&mut datagram, change.clone(), NLM_F_REQUEST | NLM_F_ACK | change.flags());
        }
        dump::append(&mut datagram, Message::batch_end(), NLM_F_REQUEST);
        dump::send(&self.0, &datagram)?;
        let mut acknowledged = 0;
        while let Some(messages) = dump::receive::<Message>(&self.0)? {
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

    /// Makes one change that is no part of a transaction.
    pub(super) fn change(&self, message: Message) -> Result<(), Failure> {
        let mut datagram = Vec::new();
        dump::append(&mut datagram, message, NLM_F_REQUEST | NLM_F_ACK);
        dump::send(&self.0, &datagram)?;
        let answers = dump::receive::<Message>(&self.0)?.unwrap_or_default();
        let failed = answers.into_iter().find_map(|answer| match answer.payload {
            NetlinkPayload::Error(error) if error.code.is_some() => {
                Some(Failure::from_message(&error, answer.header.flags))
            }
            _ => None,
        });
        failed.map_or(Ok(()), Err)
    }

    /// Lists what `query` names, again while the kernel says that the list changed under it.
    pub(super) fn list(&self, query: &Message) -> Result<Vec<Message>, Failure> {
        dump::list(&self.0, query)
    }
}
