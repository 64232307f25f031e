//! Ids that a namespace gives to others: how a veth says where its other end is.

use std::os::fd::{AsFd, AsRawFd};

use rtnetlink::packet_route::{
    RouteNetlinkMessage,
    nsid::{NsidAttribute, NsidMessage},
};

use crate::netlink::Netlink;
use crate::netns::Netns;
use fwd_base::Result;

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
}
