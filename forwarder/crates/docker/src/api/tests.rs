//! What dockerd 20.10 and 26.1 send, as they write it.

use serde_json::json;

use super::*;

fn parsed<T: for<'a> Deserialize<'a>>(value: &Value) -> T {
    read(value.to_string().as_bytes()).unwrap_or_else(|refusal| panic!("{value}: {refusal:?}"))
}

#[test]
fn networks_are_read_with_null_for_what_is_empty() {
    let network: CreateNetwork = parsed(&json!({
        "NetworkID": "a1", "Options": null, "IPv6Data": null,
        "IPv4Data": [{ "AddressSpace": "LocalDefault", "Gateway": "10.80.0.1/24", "Pool": "10.80.0.0/24", "AuxAddresses": {} }],
    }));
    assert_eq!((network.network.as_str(), network.options.len(), network.v6.len()), ("a1", 0, 0));
    assert_eq!(network.v4[0].gateway, Some("10.80.0.1/24".parse().expect("a gateway")));
    let again: CreateNetwork = parsed(&serde_json::to_value(&network).expect("JSON"));
    assert_eq!(again, network, "what is noted is read again");
    let without: CreateNetwork =
        parsed(&json!({ "NetworkID": "a1", "IPv4Data": [{ "Pool": "10.80.0.0/24", "Gateway": "" }] }));
    assert_eq!(without.v4[0].gateway, None);
}

#[test]
fn endpoints_are_read_with_what_docker_has_chosen() {
    let endpoint: CreateEndpoint = parsed(&json!({
        "NetworkID": "a1", "EndpointID": "e1",
        "Interface": { "Address": "10.80.0.2/24", "AddressIPv6": "", "MacAddress": "" },
        "Options": { "com.docker.network.endpoint.exposedports": [{ "Proto": 6, "Port": 80 }], "com.docker.network.portmap": [] },
    }));
    assert_eq!(endpoint.interface.address, Some("10.80.0.2/24".parse().expect("an address")));
    assert_eq!((endpoint.interface.address6, endpoint.interface.mac_address.as_str()), (None, ""));
    let without: CreateEndpoint = parsed(&json!({ "NetworkID": "a1", "EndpointID": "e1", "Interface": null }));
    assert_eq!(without.interface, Interface::default());
    let join: Join = parsed(&json!({
        "NetworkID": "a1", "EndpointID": "e1", "SandboxKey": "/var/run/docker/netns/0123", "Options": {},
    }));
    assert_eq!((join.of.endpoint.as_str(), join.sandbox.as_str()), ("e1", "/var/run/docker/netns/0123"));
}

#[test]
fn answers_to_join_leave_out_what_there_is_not() {
    let interface_name = InterfaceName { src_name: "fwdp1".into(), dst_prefix: "eth" };
    let gateway = Some("10.80.0.1".parse().expect("an address"));
    let joined = Joined { interface_name, gateway, gateway6: None, disable_gateway_service: false };
    let text = serde_json::to_value(joined).expect("JSON");
    let name = json!({ "SrcName": "fwdp1", "DstPrefix": "eth" });
    assert_eq!(text, json!({ "InterfaceName": name, "Gateway": "10.80.0.1", "DisableGatewayService": false }));
}

#[test]
fn what_is_no_call_is_told_from_what_cannot_be_done() {
    for body in
        ["", "null", "[]", "{}", "{\"NetworkID\": 7}", "{\"NetworkID\": \"../a\"}", "{\"NetworkID\": \"\"}", "{"]
    {
        assert!(matches!(read::<OfNetwork>(body.as_bytes()), Err(Refusal::Undecodable(_))), "{body}");
    }
    let long = format!("{{\"NetworkID\": \"{}\"}}", "a".repeat(65));
    assert!(read::<OfNetwork>(long.as_bytes()).is_err());
}
