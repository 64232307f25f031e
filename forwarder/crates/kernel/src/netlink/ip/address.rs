//! Addresses of interfaces.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use rtnetlink::{
    AddressMessageBuilder,
    packet_core::{NLM_F_CREATE, NLM_F_EXCL},
    packet_route::{
        RouteNetlinkMessage,
        address::{AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage},
    },
};

use crate::netlink::Netlink;
use fwd_base::Result;

/// Index of an interface, and an address of it with the length of its prefix.
pub type Address = (u32, IpNet);

impl Netlink {
    /// The addresses of an interface, or of all.
    ///
    /// # Errors
    /// The kernel refuses. An interface that is absent has no addresses.
    pub fn addresses(&self, index: Option<u32>) -> Result<Vec<Address>> {
        let mut query = AddressMessage::default();
        query.header.index = index.unwrap_or(0);
        let objects = match self.dump(&RouteNetlinkMessage::GetAddress(query)) {
            Err(failure) if failure.is_absence() => Vec::new(),
            result => result.map_err(|failure| failure.doing("list", "the addresses"))?,
        };
        // Kernels before 4.20 do not filter.
        let wanted = |address: &Address| index.is_none_or(|index| index == address.0);
        Ok(objects.into_iter().filter_map(read).filter(wanted).collect())
    }

    /// Whether no IPv6 address of the namespace is still being checked for duplicates.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn addresses_are_final(&self) -> Result<bool> {
        let objects = self.dump(&RouteNetlinkMessage::GetAddress(AddressMessage::default()));
        let objects = objects.map_err(|failure| failure.doing("list", "the addresses"))?;
        Ok(!objects.iter().any(|object| {
            matches!(object, RouteNetlinkMessage::NewAddress(message)
                if message.header.flags.contains(AddressHeaderFlags::Tentative))
        }))
    }

    /// Adds an address. One of IPv6 can be used at once: it is not looked for on the link first (RFC 4862 §5.4), because whoever adds
    /// it knows that nobody else has it.
    ///
    /// # Errors
    /// [`Conflict`](fwd_base::Kind::Conflict) if the interface has it; [`NotFound`](fwd_base::Kind::NotFound) if the
    /// interface is absent.
    pub fn add_address(&self, index: u32, address: IpNet) -> Result<()> {
        let mut message = message(index, address);
        if matches!(address, IpNet::V6(_)) {
            message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
        }
        self.change(RouteNetlinkMessage::NewAddress(message), NLM_F_CREATE | NLM_F_EXCL)
            .map_err(|failure| failure.doing("add", format!("address {address} to {}", self.label(index))))
    }

    /// Removes an address.
    ///
    /// # Errors
    /// [`NotFound`](fwd_base::Kind::NotFound) if the interface or the address is absent.
    pub fn del_address(&self, index: u32, address: IpNet) -> Result<()> {
        self.change(RouteNetlinkMessage::DelAddress(message(index, address)), 0)
            .map_err(|failure| failure.doing("remove", format!("address {address} from {}", self.label(index))))
    }
}

fn message(index: u32, address: IpNet) -> AddressMessage {
    let length = address.prefix_len();
    match address.addr() {
        IpAddr::V4(address) => AddressMessageBuilder::<Ipv4Addr>::new().index(index).address(address, length).build(),
        IpAddr::V6(address) => AddressMessageBuilder::<Ipv6Addr>::new().index(index).address(address, length).build(),
    }
}

fn read(object: RouteNetlinkMessage) -> Option<Address> {
    let RouteNetlinkMessage::NewAddress(message) = object else { return None };
    // IFA_LOCAL is our address. On a point-to-point interface IFA_ADDRESS is the other side's; IPv6 sends only that one.
    let of = |want_local: bool| {
        message.attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Local(address) if want_local => Some(*address),
            AddressAttribute::Address(address) if !want_local => Some(*address),
            _ => None,
        })
    };
    let address = of(true).or_else(|| of(false))?;
    Some((message.header.index, IpNet::new(address, message.header.prefix_len).ok()?))
}
