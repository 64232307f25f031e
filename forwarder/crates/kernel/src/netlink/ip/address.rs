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
        Ok(self.address_messages(index)?.iter().filter_map(read).collect())
    }

    /// The address of the link (RFC 4291 §2.5.6) that an interface speaks from; none if it has none that it may use: of one that is still being
    /// looked for on the link, or that was found there, another may be the owner (RFC 4862 §5.4), but for the former where the host is optimistic
    /// (RFC 4429).
    ///
    /// # Errors
    /// As [`addresses`](Self::addresses).
    pub fn link_local(&self, index: u32) -> Result<Option<Ipv6Addr>> {
        let found = self.address_messages(Some(index))?.into_iter().filter(|it| is_usable(it.header.flags));
        let mut local = found.filter_map(|message| match read(&message)?.1.addr() {
            IpAddr::V6(address) if address.is_unicast_link_local() => Some(address),
            _ => None,
        });
        Ok(local.next())
    }

    /// What the kernel says of the addresses of an interface, or of all.
    fn address_messages(&self, index: Option<u32>) -> Result<Vec<AddressMessage>> {
        let mut query = AddressMessage::default();
        query.header.index = index.unwrap_or(0);
        let objects = match self.dump(&RouteNetlinkMessage::GetAddress(query)) {
            Err(failure) if failure.is_absence() => Vec::new(),
            result => result.map_err(|failure| failure.doing("list", "the addresses"))?,
        };
        // Kernels before 4.20 do not filter.
        let wanted = |message: &AddressMessage| index.is_none_or(|index| index == message.header.index);
        let messages = objects.into_iter().filter_map(|object| match object {
            RouteNetlinkMessage::NewAddress(message) => Some(message),
            _ => None,
        });
        Ok(messages.filter(wanted).collect())
    }

    /// Whether no IPv6 address of the namespace is still being checked for duplicates.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn addresses_are_final(&self) -> Result<bool> {
        let messages = self.address_messages(None)?;
        Ok(!messages.iter().any(|message| message.header.flags.contains(AddressHeaderFlags::Tentative)))
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

/// Whether an address of IPv6 with these flags may be a source.
fn is_usable(flags: AddressHeaderFlags) -> bool {
    let is_final = !flags.contains(AddressHeaderFlags::Tentative) || flags.contains(AddressHeaderFlags::Optimistic);
    is_final && !flags.contains(AddressHeaderFlags::Dadfailed)
}

fn read(message: &AddressMessage) -> Option<Address> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_another_may_have_is_not_used() {
        use AddressHeaderFlags as Flags;
        for flags in [Flags::Permanent, Flags::Permanent | Flags::Nodad, Flags::Tentative | Flags::Optimistic] {
            assert!(is_usable(flags), "{flags:?}");
        }
        for flags in [Flags::Permanent | Flags::Tentative, Flags::Dadfailed, Flags::Tentative | Flags::Dadfailed] {
            assert!(!is_usable(flags), "{flags:?}");
        }
    }
}
