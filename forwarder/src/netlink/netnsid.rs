//! Ids that a namespace gives to others: how a veth says where its other end is.

use std::os::fd::{AsFd, AsRawFd};

use rtnetlink::packet_route::{
    RouteNetlinkMessage,
    nsid::{NsidAttribute, NsidMessage},
};

use super::Netlink;
use crate::{Result, netns::Netns};

impl Netlink {
    /// The id this namespace has for another; none if it has not needed one. Asking gives none away.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn id_of(&self, other: &Netns) -> Result<Option<i32>> {
        let fd = other.as_fd().as_raw_fd();
        let mut query = NsidMessage::default();
        query.attributes.push(NsidAttribute::Fd(fd.unsigned_abs()));
        let objects = self
            .get(RouteNetlinkMessage::GetNsId(query))
            .map_err(|failure| failure.doing("look up the id of", "a network namespace"))?;
        Ok(objects.into_iter().find_map(|object| match object {
            RouteNetlinkMessage::NewNsId(message) => message.attributes.into_iter().find_map(|attribute| {
                // -1 is "not assigned".
                if let NsidAttribute::Id(id) = attribute { (id >= 0).then_some(id) } else { None }
            }),
            _ => None,
        }))
    }

    /// Which of the namespaces given has this id here, as in [`Link::peer_netnsid`](super::Link::peer_netnsid): its position.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn netns_by_id<'a>(&self, id: i32, candidates: impl IntoIterator<Item = &'a Netns>) -> Result<Option<usize>> {
        for (position, candidate) in candidates.into_iter().enumerate() {
            if self.id_of(candidate)? == Some(id) {
                return Ok(Some(position));
            }
        }
        Ok(None)
    }
}
