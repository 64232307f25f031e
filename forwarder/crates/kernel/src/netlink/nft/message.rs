//! Messages of nf_tables: a header of nfnetlink and attributes (include/uapi/linux/netfilter/nf_tables.h).

use std::convert::Infallible;

use rtnetlink::packet_core::{
    DefaultNla, Emitable, NLA_F_NESTED, NLM_F_APPEND, NLM_F_CREATE, NetlinkDeserializable, NetlinkHeader,
    NetlinkPayload, NetlinkSerializable, NlasIterator,
};

/// `NFNL_SUBSYS_NFTABLES`: the upper byte of a message's type.
const SUBSYSTEM: u16 = 10;
// NFNL_MSG_BATCH_* (include/uapi/linux/netfilter/nfnetlink.h).
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
// NFT_MSG_*.
const NEW_TABLE: u16 = SUBSYSTEM << 8;
const GET_TABLE: u16 = SUBSYSTEM << 8 | 1;
const DELETE_TABLE: u16 = SUBSYSTEM << 8 | 2;
const NEW_CHAIN: u16 = SUBSYSTEM << 8 | 3;
const GET_CHAIN: u16 = SUBSYSTEM << 8 | 4;
const NEW_RULE: u16 = SUBSYSTEM << 8 | 6;
const GET_RULE: u16 = SUBSYSTEM << 8 | 7;
const DELETE_RULE: u16 = SUBSYSTEM << 8 | 8;
const NEW_FLOWTABLE: u16 = SUBSYSTEM << 8 | 22;
/// `NFNL_SUBSYS_CTNETLINK`, and of it IPCTNL_MSG_CT_* (include/uapi/linux/netfilter/nfnetlink_conntrack.h).
const CONNTRACK: u16 = 1;
const GET_CONVERSATION: u16 = CONNTRACK << 8 | 1;
const DELETE_CONVERSATION: u16 = CONNTRACK << 8 | 2;
// NFPROTO_* (include/uapi/linux/netfilter.h).
const FAMILY_ANY: u8 = 0;
const FAMILY_IP: u8 = 2;
const FAMILY_BRIDGE: u8 = 7;
const FAMILY_IP6: u8 = 10;
/// Length of `struct nfgenmsg`: family, version, resource id (network byte order).
const HEADER_LEN: usize = 4;

/// One of the families that have a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
    /// Frames, as bridges pass them on.
    Bridge,
}

impl Family {
    /// That of an address, or of a prefix.
    pub(super) const fn of(v4: bool) -> Self {
        if v4 { Self::V4 } else { Self::V6 }
    }

    /// As `nft` names it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::V4 => "ip",
            Self::V6 => "ip6",
            Self::Bridge => "bridge",
        }
    }

    const fn number(self) -> u8 {
        match self {
            Self::V4 => FAMILY_IP,
            Self::V6 => FAMILY_IP6,
            Self::Bridge => FAMILY_BRIDGE,
        }
    }
}

/// A message of nf_tables, sent or received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    kind: u16,
    /// Flags of the netlink header for the operation.
    flags: u16,
    family: u8,
    /// The subsystem of a batch; otherwise 0.
    resource: u16,
    attributes: Vec<u8>,
}

impl Message {
    fn with(kind: u16, family: u8, flags: u16, attributes: &[DefaultNla]) -> Self {
        Self { kind, flags, family, resource: 0, attributes: emit(attributes) }
    }

    /// Opens a transaction.
    pub(super) fn batch_begin() -> Self {
        Self { resource: SUBSYSTEM, ..Self::with(BATCH_BEGIN, FAMILY_ANY, 0, &[]) }
    }

    /// Commits a transaction.
    pub(super) fn batch_end() -> Self {
        Self { resource: SUBSYSTEM, ..Self::with(BATCH_END, FAMILY_ANY, 0, &[]) }
    }

    /// Creates a table; one that exists stays.
    pub(super) fn new_table(attributes: Vec<DefaultNla>) -> Self {
        Self::with(NEW_TABLE, FAMILY_IP, NLM_F_CREATE, &attributes)
    }

    /// Deletes a table and what is in it.
    pub(super) fn delete_table(attributes: Vec<DefaultNla>) -> Self {
        Self::with(DELETE_TABLE, FAMILY_IP, 0, &attributes)
    }

    /// Lists the tables of all families.
    pub(super) fn get_tables() -> Self {
        Self::with(GET_TABLE, FAMILY_ANY, 0, &[])
    }

    /// Creates a chain; one that exists stays.
    pub(super) fn new_chain(attributes: Vec<DefaultNla>) -> Self {
        Self::with(NEW_CHAIN, FAMILY_IP, NLM_F_CREATE, &attributes)
    }

    /// Lists the chains of all families.
    pub(super) fn get_chains() -> Self {
        Self::with(GET_CHAIN, FAMILY_ANY, 0, &[])
    }

    /// Appends a rule.
    pub(super) fn new_rule(attributes: Vec<DefaultNla>) -> Self {
        Self::with(NEW_RULE, FAMILY_IP, NLM_F_CREATE | NLM_F_APPEND, &attributes)
    }

    /// Creates a flow table; one that exists stays.
    pub(super) fn new_flowtable(attributes: Vec<DefaultNla>) -> Self {
        Self::with(NEW_FLOWTABLE, FAMILY_IP, NLM_F_CREATE, &attributes)
    }

    /// Deletes a rule.
    pub(super) fn delete_rule(attributes: Vec<DefaultNla>) -> Self {
        Self::with(DELETE_RULE, FAMILY_IP, 0, &attributes)
    }

    /// Lists rules.
    pub(super) fn get_rules(attributes: Vec<DefaultNla>) -> Self {
        Self::with(GET_RULE, FAMILY_IP, 0, &attributes)
    }

    /// Lists rules of another family.
    pub(super) fn get_rules_of(family: u8, attributes: Vec<DefaultNla>) -> Self {
        Self::with(GET_RULE, family, 0, &attributes)
    }

    /// Says of an attribute that it holds others, where it is given as bytes.
    pub(super) const NESTED: u16 = NLA_F_NESTED;

    /// Lists what conntrack knows of a family.
    pub(super) fn get_conversations(family: Family) -> Self {
        Self::with(GET_CONVERSATION, family.number(), 0, &[])
    }

    /// Lets conntrack forget a conversation.
    pub(super) fn delete_conversation(family: Family, attributes: Vec<DefaultNla>) -> Self {
        Self::with(DELETE_CONVERSATION, family.number(), 0, &attributes)
    }

    /// The same about the table of this family.
    pub(super) fn of(self, family: Family) -> Self {
        Self { family: family.number(), ..self }
    }

    /// The same rule before all others of its chain.
    pub(super) fn first(self) -> Self {
        Self { flags: self.flags & !NLM_F_APPEND, ..self }
    }

    /// Flags of the netlink header for the operation.
    pub(super) fn flags(&self) -> u16 {
        self.flags
    }

    /// Number of the family (`NFPROTO_*`).
    pub(super) fn family_number(&self) -> u8 {
        self.family
    }

    /// Name of the family, as `nft` writes it.
    pub(super) fn family(&self) -> String {
        match self.family {
            1 => "inet".into(),
            FAMILY_IP => "ip".into(),
            3 => "arp".into(),
            5 => "netdev".into(),
            FAMILY_BRIDGE => "bridge".into(),
            FAMILY_IP6 => "ip6".into(),
            other => other.to_string(),
        }
    }

    /// The attributes as bytes.
    pub(super) fn attributes(&self) -> &[u8] {
        &self.attributes
    }

    /// An attribute that is text.
    pub(super) fn string(&self, kind: u16) -> Option<String> {
        string(&self.attributes, kind)
    }
}

impl NetlinkSerializable for Message {
    fn message_type(&self) -> u16 {
        self.kind
    }

    fn buffer_len(&self) -> usize {
        HEADER_LEN + self.attributes.len()
    }

    fn serialize(&self, buffer: &mut [u8]) {
        let [high, low] = self.resource.to_be_bytes();
        let (header, attributes) = buffer.split_at_mut(HEADER_LEN);
        header.copy_from_slice(&[self.family, 0, high, low]);
        attributes.copy_from_slice(&self.attributes);
    }
}

impl NetlinkDeserializable for Message {
    type Error = Infallible;

    fn deserialize(header: &NetlinkHeader, payload: &[u8]) -> Result<Self, Infallible> {
        Ok(Self {
            kind: header.message_type,
            flags: header.flags,
            family: payload.first().copied().unwrap_or_default(),
            resource: 0,
            attributes: payload.get(HEADER_LEN..).unwrap_or_default().to_vec(),
        })
    }
}

impl From<Message> for NetlinkPayload<Message> {
    fn from(message: Message) -> Self {
        Self::InnerMessage(message)
    }
}

/// An attribute that is text, with its NUL.
pub(super) fn text(kind: u16, value: &str) -> DefaultNla {
    DefaultNla::new(kind, [value.as_bytes(), &[0]].concat())
}

/// An attribute that is a number: nf_tables has them in network byte order.
pub(super) fn number(kind: u16, value: u32) -> DefaultNla {
    DefaultNla::new(kind, value.to_be_bytes().to_vec())
}

/// An attribute that is a long number.
pub(super) fn wide(kind: u16, value: u64) -> DefaultNla {
    DefaultNla::new(kind, value.to_be_bytes().to_vec())
}

/// An attribute that is bytes.
pub(super) fn bytes(kind: u16, value: &[u8]) -> DefaultNla {
    DefaultNla::new(kind, value.to_vec())
}

/// An attribute that holds others.
pub(super) fn nested(kind: u16, attributes: &[DefaultNla]) -> DefaultNla {
    DefaultNla::new(kind | NLA_F_NESTED, emit(attributes))
}

fn emit(attributes: &[DefaultNla]) -> Vec<u8> {
    let mut buffer = vec![0; attributes.buffer_len()];
    attributes.emit(&mut buffer);
    buffer
}

/// The attributes in `bytes`, as kind and value, up to the first that is malformed.
pub(super) fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, Vec<u8>)> {
    NlasIterator::new(bytes).map_while(Result::ok).map(|nla| (nla.kind(), nla.value().to_vec()))
}

/// The first attribute of a kind.
pub(super) fn attribute(bytes: &[u8], kind: u16) -> Option<Vec<u8>> {
    attributes(bytes).find(|attribute| attribute.0 == kind).map(|attribute| attribute.1)
}

/// The first attribute of a kind, as text.
pub(super) fn string(bytes: &[u8], kind: u16) -> Option<String> {
    attribute(bytes, kind).and_then(|value| until_nul(&value))
}

/// Text up to its NUL.
pub(super) fn until_nul(bytes: &[u8]) -> Option<String> {
    let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8(text.to_vec()).ok()
}
