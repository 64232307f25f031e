//! Programs as filters of a clsact queueing discipline.

use rtnetlink::packet_route::{
    RouteNetlinkMessage,
    tc::{TcAttribute, TcFilterBpfOption, TcHandle, TcMessage, TcOption},
};

use crate::netlink::{Netlink, transport::Failure};
use fwd_base::Result;

/// The name of the queueing discipline.
const CLSACT: &str = "clsact";

/// Direction of packets at an interface, by the names of traffic control.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TcDirection {
    /// What comes in.
    Ingress,
    /// What goes out.
    Egress,
}

impl TcDirection {
    fn parent(self) -> TcHandle {
        let minor = match self {
            Self::Ingress => TcHandle::MIN_INGRESS,
            Self::Egress => TcHandle::MIN_EGRESS,
        };
        TcHandle { major: u16::MAX, minor }
    }
}

/// A filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filter {
    /// Its place among the others, lower ones first.
    pub priority: u16,
    /// Its number within that place.
    pub handle: u32,
    /// Number of the program that it runs, if it runs one.
    pub program: Option<u32>,
}

impl Netlink {
    /// The filters of one direction at an interface; none where it has no clsact queueing discipline, or is absent.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn filters(&self, index: u32, direction: TcDirection) -> Result<Vec<Filter>> {
        let mut query = message(index);
        query.header.parent = direction.parent();
        let objects = match self.dump(&RouteNetlinkMessage::GetTrafficFilter(query)) {
            Err(failure) if failure.is_absence() || failure.errno() == Some(libc::EINVAL) => Vec::new(),
            result => result.map_err(|failure| failure.doing("list", format!("filters of {}", self.label(index))))?,
        };
        Ok(objects.into_iter().filter_map(read).collect())
    }

    /// Removes the clsact queueing discipline of an interface, with all its filters.
    ///
    /// # Errors
    /// [`NotFound`](fwd_base::Kind::NotFound) if it or the interface is absent.
    pub fn delete_clsact(&self, index: u32) -> Result<()> {
        let mut message = message(index);
        message.header.parent = TcHandle::CLSACT;
        message.header.handle = TcHandle { major: u16::MAX, minor: 0 };
        message.attributes.push(TcAttribute::Kind(CLSACT.into()));
        self.change(RouteNetlinkMessage::DelQueueDiscipline(message), 0).map_err(|failure| match failure.errno() {
            // "Invalid handle": there is none.
            Some(libc::EINVAL) => Failure::from_code(-libc::ENOENT).doing("remove clsact from", self.label(index)),
            _ => failure.doing("remove clsact from", self.label(index)),
        })
    }
}

fn message(index: u32) -> TcMessage {
    TcMessage::with_index(index.cast_signed())
}

/// The head of each list of filters comes without a handle and is left out.
fn read(object: RouteNetlinkMessage) -> Option<Filter> {
    let RouteNetlinkMessage::NewTrafficFilter(message) = object else { return None };
    let handle = u32::from(message.header.handle);
    let options = message.attributes.iter().find_map(|attribute| match attribute {
        TcAttribute::Options(options) => Some(options.as_slice()),
        _ => None,
    });
    let program = options.unwrap_or_default().iter().find_map(|option| match option {
        TcOption::Bpf(TcFilterBpfOption::ProgId(id)) => Some(*id),
        _ => None,
    });
    // The upper half is the priority, the lower one the protocol (TC_H_MAKE, include/uapi/linux/pkt_sched.h).
    let priority = (message.header.info >> 16) as u16;
    (handle != 0).then_some(Filter { priority, handle, program })
}
