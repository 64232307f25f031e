use hickory_proto::{
    op::{Edns, Message, MessageType, OpCode, Query},
    rr::{Name, RData},
};
use proptest::prelude::*;

use super::*;
use crate::table::{Endpoint, Names, Network, Table, tests::names};

fn query(name: &str, kind: RecordType) -> Message {
    let mut message = Message::new(4711, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).expect("a name"), kind));
    message
}

/// What an endpoint of the network Web gets.
fn step(message: &Message, transport: Transport) -> Step {
    step_of(&names(), message, transport)
}

fn step_of(names: &Names, message: &Message, transport: Transport) -> Step {
    let seen = names.seen_by("Web", "10.77.0.2".parse().expect("an address")).expect("an endpoint");
    decide(&message.to_vec().expect("a message"), &seen, transport)
}

#[track_caller]
fn answer(message: &Message) -> Message {
    match step(message, Transport::Udp) {
        Step::Reply(bytes) => Message::from_vec(&bytes).expect("a message"),
        other => panic!("{other:?}"),
    }
}

fn data(message: &Message) -> Vec<String> {
    message.answers.iter().map(|record| record.data.to_string()).collect()
}

#[test]
fn names_have_addresses_of_the_family_that_is_asked_for() {
    let found = answer(&query("A.Web.", RecordType::A));
    assert_eq!((found.metadata.id, data(&found)), (4711, vec!["10.77.0.2".to_owned()]));
    assert!(found.metadata.authoritative && found.metadata.recursion_available && found.metadata.recursion_desired);
    assert_eq!(found.answers[0].name.to_ascii(), "A.Web.", "as it was asked for");
    assert_eq!(data(&answer(&query("a.", RecordType::AAAA))), ["fd00:77::2"]);
    assert_eq!(answer(&query("www.", RecordType::ANY)).answers.len(), 3);
}

#[test]
fn what_a_name_has_not_is_no_missing_name() {
    for (name, kind) in [("b.", RecordType::AAAA), ("b.web.", RecordType::MX), ("a.", RecordType::HTTPS)] {
        let found = answer(&query(name, kind));
        assert_eq!((found.metadata.response_code, found.answers.len()), (ResponseCode::NoError, 0), "{name}");
    }
}

#[test]
fn addresses_have_names() {
    assert_eq!(data(&answer(&query("2.0.77.10.in-addr.arpa.", RecordType::PTR))), ["a.web."]);
    assert_eq!(
        answer(&query("9.0.77.10.in-addr.arpa.", RecordType::PTR)).metadata.response_code,
        ResponseCode::NXDomain
    );
    let nibbles = format!("2.{}7.7.0.0.0.0.d.f.ip6.arpa.", "0.".repeat(23));
    assert_eq!(data(&answer(&query(&nibbles, RecordType::PTR))), ["a.web."]);
    for elsewhere in ["9.1.77.10.in-addr.arpa.", "77.10.in-addr.arpa."] {
        assert!(matches!(step(&query(elsewhere, RecordType::PTR), Transport::Udp), Step::Ask(_)), "{elsewhere}");
    }
}

#[test]
fn other_names_are_asked_of_others_and_the_fallback_is_a_failure() {
    for name in ["example.org.", "store.", "web.", "aweb.", "b.db."] {
        let Step::Ask(fallback) = step(&query(name, RecordType::A), Transport::Tcp) else { panic!("{name}") };
        let fallback = Message::from_vec(&fallback).expect("a message");
        assert_eq!(fallback.metadata.response_code, ResponseCode::ServFail, "{name}");
    }
}

/// A network may be called like a domain of the internet.
#[test]
fn names_of_a_network_that_nobody_has_are_not_asked_of_others() {
    for name in ["gone.web.", "Gone.WEB.", "a.gone.web.", "a\\.web."] {
        let found = answer(&query(name, RecordType::A));
        assert_eq!(found.metadata.response_code, ResponseCode::NXDomain, "{name}");
    }
}

#[test]
fn edns_is_answered_by_edns_and_a_later_version_refused() {
    let mut asked = query("a.", RecordType::A);
    assert!(answer(&asked).edns.is_none());
    asked.set_edns(Edns::new());
    let edns = answer(&asked).edns.expect("the same");
    assert_eq!((edns.version(), edns.max_payload()), (0, 1_232));
    asked.edns.as_mut().expect("set").set_version(1);
    assert_eq!(u16::from(answer(&asked).metadata.response_code), 16, "BADVERS, which BADSIG has for its number, too");
}

#[test]
fn what_is_too_long_for_udp_is_asked_for_by_tcp() {
    let host = |last: u8| Endpoint {
        namespace: last.into(),
        names: vec!["many".parse().expect("a name")],
        addresses: vec![IpAddr::from([10, 77, 0, last])],
    };
    let endpoints: Vec<Endpoint> = (2..=101).map(host).collect();
    let names = Names::from(Table { networks: [("Web".into(), Network { endpoints, ..Network::default() })].into() });
    let ask = |edns: Option<u16>, transport| {
        let mut asked = query("many.", RecordType::A);
        if let Some(size) = edns {
            asked.set_edns(Edns::new());
            asked.edns.as_mut().expect("set").set_max_payload(size);
        }
        let Step::Reply(bytes) = step_of(&names, &asked, transport) else { panic!("no answer") };
        let message = Message::from_vec(&bytes).expect("a message");
        (bytes.len(), message.metadata.truncation, message.answers.len())
    };
    for edns in [None, Some(1_232), Some(u16::MAX)] {
        let (length, truncated, answers) = ask(edns, Transport::Udp);
        assert!(length <= 512 && truncated && answers == 0, "{edns:?}: {length}");
    }
    let (length, truncated, answers) = ask(None, Transport::Tcp);
    assert!(length > 1_232 && !truncated && answers == 100, "{length}");
}

#[test]
fn what_is_no_plain_query_is_refused() {
    let mut other = query("a.", RecordType::A);
    other.metadata.op_code = OpCode::Update;
    assert_eq!(answer(&other).metadata.response_code, ResponseCode::NotImp);
    let mut two = query("a.", RecordType::A);
    two.queries.push(two.queries[0].clone());
    assert_eq!(answer(&two).metadata.response_code, ResponseCode::FormErr);
    let mut chaos = query("version.bind.", RecordType::TXT);
    chaos.queries[0].set_query_class(DNSClass::CH);
    assert_eq!(answer(&chaos).metadata.response_code, ResponseCode::Refused);
    assert_eq!(answer(&query("web.", RecordType::AXFR)).metadata.response_code, ResponseCode::Refused);
    let mut response = query("a.", RecordType::A);
    response.metadata.message_type = MessageType::Response;
    assert!(matches!(step(&response, Transport::Udp), Step::Drop), "no one answers answers");
}

#[test]
fn names_that_point_at_themselves_are_malformed() {
    let mut bytes = query("a.", RecordType::A).to_vec().expect("a message");
    bytes.truncate(12);
    bytes.extend([0xc0, 12, 0, 1, 0, 1]);
    let names = names();
    let seen = names.seen_by("Web", "10.77.0.2".parse().expect("an address")).expect("an endpoint");
    let Step::Reply(bytes) = decide(&bytes, &seen, Transport::Udp) else { panic!("no answer") };
    let message = Message::from_vec(&bytes).expect("a message");
    assert_eq!((message.metadata.id, message.metadata.response_code), (4711, ResponseCode::FormErr));
}

proptest! {
    #[test]
    fn any_bytes_get_a_message_or_nothing(bytes in prop::collection::vec(any::<u8>(), 0..200), mended: bool) {
        let mut bytes = bytes;
        if mended && bytes.len() >= 12 {
            bytes[2..6].copy_from_slice(&[1, 0, 0, 1]);
        }
        let names = names();
        let seen = names.seen_by("Web", "10.77.0.2".parse().expect("an address")).expect("an endpoint");
        match decide(&bytes, &seen, Transport::Udp) {
            Step::Drop => {}
            Step::Reply(answer) | Step::Ask(answer) => {
                prop_assert!(answer.len() <= 1_232);
                let message = Message::from_vec(&answer).expect("a message");
                prop_assert_eq!(message.metadata.message_type, MessageType::Response);
                prop_assert_eq!(&answer[..2], &bytes[..2]);
            }
        }
    }

    #[test]
    fn names_of_any_bytes_are_answered_or_asked_of_others(labels in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..20), 1..5)) {
        let name = Name::from_labels(labels.iter().map(Vec::as_slice)).expect("a name");
        let mut message = query("x.", RecordType::A);
        message.queries[0].set_name(name);
        let found = step(&message, Transport::Udp);
        let is_answered = matches!(found, Step::Ask(_) | Step::Reply(_));
        prop_assert!(is_answered, "{:?}", found);
    }
}

#[test]
fn data_of_an_answer_is_of_its_kind() {
    let found = answer(&query("www.", RecordType::A));
    assert!(found.answers.iter().all(|record| matches!(record.data, RData::A(_)) && record.ttl <= 5));
}
