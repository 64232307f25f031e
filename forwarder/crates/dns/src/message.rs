//! Messages (RFC 1035 section 4): what is read of a query, and the answers that are written here.

use std::net::IpAddr;

use hickory_proto::{
    op::{Edns, Message, MessageType, OpCode, Query, ResponseCode},
    rr::{
        Name, RData, Record,
        rdata::{A, AAAA, PTR},
    },
};

/// Bytes of a header.
pub(crate) const HEADER: usize = 12;
/// Seconds that an answer may be kept: endpoints come and go.
const TTL: u32 = 1;
/// Bytes of an answer by UDP that no path cuts into pieces (the DNS flag day of 2020), and at least (RFC 1035 section 4.2.1).
const UDP_MAX: u16 = 1_232;
const UDP_MIN: u16 = 512;

/// How a message came, and its answer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Udp,
    Tcp,
}

/// A query as it was understood.
#[derive(Debug)]
pub(crate) struct Asked {
    message: Message,
    transport: Transport,
}

impl Asked {
    /// Reads a message.
    ///
    /// # Errors
    /// None of a query: what to answer, if it is to be answered at all.
    pub(crate) fn read(bytes: &[u8], transport: Transport) -> Result<Self, Option<Vec<u8>>> {
        let header = bytes.first_chunk::<HEADER>().ok_or(None)?;
        // An answer: to answer it could go on for ever.
        if header[2] & 0x80 != 0 {
            return Err(None);
        }
        let id = u16::from_be_bytes([header[0], header[1]]);
        let op_code = OpCode::from_u8((header[2] >> 3) & 0xf);
        let message = Message::from_vec(bytes).map_err(|_| refusal(id, op_code, ResponseCode::FormErr))?;
        if op_code != OpCode::Query {
            return Err(refusal(id, op_code, ResponseCode::NotImp));
        }
        if message.queries.len() != 1 {
            return Err(refusal(id, op_code, ResponseCode::FormErr));
        }
        Ok(Self { message, transport })
    }

    /// What is asked for.
    pub(crate) fn question(&self) -> Option<&Query> {
        self.message.queries.first()
    }

    /// A version of EDNS that nobody knows here (RFC 6891 section 6.1.3).
    pub(crate) fn is_of_later_edns(&self) -> bool {
        self.message.edns.as_ref().is_some_and(|edns| edns.version() != 0)
    }

    /// An answer that says that there are these addresses of what was asked for.
    pub(crate) fn addresses(&self, addresses: impl Iterator<Item = IpAddr>) -> Option<Vec<u8>> {
        let data = |address| match address {
            IpAddr::V4(address) => RData::A(A(address)),
            IpAddr::V6(address) => RData::AAAA(AAAA(address)),
        };
        self.answer(ResponseCode::NoError, addresses.map(data))
    }

    /// An answer that says what an address is called.
    pub(crate) fn called(&self, name: &str) -> Option<Vec<u8>> {
        let name = Name::from_ascii(format!("{name}.")).ok()?;
        self.answer(ResponseCode::NoError, [RData::PTR(PTR(name))].into_iter())
    }

    /// An answer without records.
    pub(crate) fn only(&self, code: ResponseCode) -> Option<Vec<u8>> {
        self.answer(code, std::iter::empty())
    }

    fn answer(&self, code: ResponseCode, data: impl Iterator<Item = RData>) -> Option<Vec<u8>> {
        let mut answer = Message::response(self.message.metadata.id, OpCode::Query);
        answer.metadata.recursion_desired = self.message.metadata.recursion_desired;
        answer.metadata.checking_disabled = self.message.metadata.checking_disabled;
        answer.metadata.recursion_available = true;
        answer.metadata.authoritative = matches!(code, ResponseCode::NoError | ResponseCode::NXDomain);
        answer.metadata.response_code = code;
        answer.queries.clone_from(&self.message.queries);
        if let Some(edns) = &self.message.edns {
            let mut ours = Edns::new();
            ours.set_max_payload(UDP_MAX).set_dnssec_ok(edns.flags().dnssec_ok);
            answer.set_edns(ours);
        }
        let name = self.question()?.name();
        answer.answers = data.map(|data| Record::from_rdata(name.clone(), TTL, data)).collect();
        let bytes = answer.to_vec().ok()?;
        if bytes.len() <= self.room() {
            return Some(bytes);
        }
        // The asker comes again by TCP.
        answer.answers.clear();
        answer.metadata.truncation = true;
        answer.to_vec().ok()
    }

    /// Bytes that the asker takes.
    fn room(&self) -> usize {
        match self.transport {
            Transport::Tcp => usize::from(u16::MAX),
            Transport::Udp => {
                let takes = self.message.edns.as_ref().map_or(UDP_MIN, Edns::max_payload);
                takes.clamp(UDP_MIN, UDP_MAX).into()
            }
        }
    }
}

/// An answer without question and records, to what could not be read.
fn refusal(id: u16, op_code: OpCode, code: ResponseCode) -> Option<Vec<u8>> {
    let mut answer = Message::new(id, MessageType::Response, op_code);
    answer.metadata.response_code = code;
    answer.to_vec().ok()
}
