//! Names that are no UTF-8: the kernel takes nearly any bytes, and whoever is inside a namespace chooses them.

use std::ops::Range;

use rtnetlink::packet_core::{NLA_HEADER_SIZE, NlaBuffer};

/// Length of `struct nlmsghdr`.
const HEADER: usize = 16;
// `RTM_NEWLINK` and `RTM_NEWADDR`, with the lengths of `struct ifinfomsg` and `struct ifaddrmsg`.
const NEW_LINK: u16 = 16;
const LINK_LEN: usize = 16;
const NEW_ADDRESS: u16 = 20;
const ADDRESS_LEN: usize = 8;
/// `IFLA_IFNAME`, `IFLA_IFALIAS` and, within `IFLA_PROP_LIST`, `IFLA_ALT_IFNAME`.
const LINK_TEXTS: [u16; 2] = [3, 20];
const PROP_LIST: u16 = 52;
const ALT_IFNAME: u16 = 53;
/// `IFA_LABEL`.
const LABEL: u16 = 3;

/// A message with `?` for what is no UTF-8 in the texts that others choose, so that one bad name does not hide the rest.
pub(super) fn mended(message: &[u8]) -> Vec<u8> {
    let mut mended = message.to_vec();
    for text in texts(message) {
        if let Some(bytes) = mended.get_mut(text) {
            mend(bytes);
        }
    }
    mended
}

/// Where the texts of a message are.
fn texts(message: &[u8]) -> Vec<Range<usize>> {
    let kind = message.get(4..6).map(|kind| u16::from_ne_bytes([kind[0], kind[1]]));
    match kind {
        Some(NEW_LINK) => {
            let all = attributes(message, HEADER + LINK_LEN..message.len());
            let nested = all.iter().filter(|(kind, _)| *kind == PROP_LIST);
            let other = nested.flat_map(|(_, place)| attributes(message, place.clone()));
            let other = other.filter(|(kind, _)| *kind == ALT_IFNAME);
            all.iter().filter(|(kind, _)| LINK_TEXTS.contains(kind)).cloned().chain(other).map(|it| it.1).collect()
        }
        Some(NEW_ADDRESS) => {
            let all = attributes(message, HEADER + ADDRESS_LEN..message.len()).into_iter();
            all.filter(|(kind, _)| *kind == LABEL).map(|it| it.1).collect()
        }
        _ => Vec::new(),
    }
}

/// Kinds and places of the attributes within `place`.
fn attributes(message: &[u8], mut place: Range<usize>) -> Vec<(u16, Range<usize>)> {
    let mut found = Vec::new();
    while let Some(Ok(attribute)) = message.get(place.clone()).map(NlaBuffer::new_checked) {
        let start = place.start + NLA_HEADER_SIZE;
        found.push((attribute.kind(), start..start + attribute.value_length()));
        place.start += (NLA_HEADER_SIZE + attribute.value_length()).next_multiple_of(NLA_HEADER_SIZE);
    }
    found
}

fn mend(bytes: &mut [u8]) {
    let mut at = 0;
    let whole = bytes.to_vec();
    for chunk in whole.utf8_chunks() {
        at += chunk.valid().len();
        let bad = chunk.invalid().len();
        bytes[at..at + bad].fill(b'?');
        at += bad;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{LINK_LEN, NEW_ADDRESS, NEW_LINK, mended};

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let length = u16::try_from(value.len() + 4).expect("short");
        let mut bytes = [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), value].concat();
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn message(kind: u16, header: usize, attributes: &[Vec<u8>]) -> Vec<u8> {
        [vec![0; 4], kind.to_ne_bytes().to_vec(), vec![0; 10 + header], attributes.concat()].concat()
    }

    #[test]
    fn only_what_is_no_utf8_in_texts_changes() {
        let link = |name: &[u8], alias: &[u8], other: &[u8]| {
            let other = attribute(52 | 0x8000, &attribute(53, other));
            let mac = attribute(1, &[0xff; 6]);
            message(NEW_LINK, LINK_LEN, &[mac, attribute(3, name), attribute(20, alias), other])
        };
        let bad = link(b"et\xffh0\0", "ü\u{1b}\0".as_bytes(), b"\xc3\0");
        let good = link(b"et?h0\0", "ü\u{1b}\0".as_bytes(), b"?\0");
        assert_eq!(mended(&bad), good);
        assert_eq!(mended(&good), good);
        let address = |label: &[u8]| message(NEW_ADDRESS, 8, &[attribute(3, label), attribute(2, &[0xff; 4])]);
        assert_eq!(mended(&address(b"a\xfe\xff\0")), address(b"a??\0"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(kind in prop_oneof![Just(NEW_LINK), Just(NEW_ADDRESS), any::<u16>()], rest in any::<Vec<u8>>()) {
            let message = [vec![0; 4], kind.to_ne_bytes().to_vec(), rest].concat();
            prop_assert_eq!(mended(&message).len(), message.len());
        }
    }
}
