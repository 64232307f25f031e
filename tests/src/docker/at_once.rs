//! Calls that come while others are being done, and such as docker waits for no more.

use forwarder::{
    dataplane::{Lock, RunDir},
    testbed::wait_until,
};
use serde_json::{Value, json};

use super::dockerd::{Connection, Dockerd, network_body};
use crate::fwd::{Fwd, LIMIT};

/// The host's lock, which no call gets meanwhile.
fn held(fwd: &Fwd) -> Lock {
    Lock::acquire(&RunDir::new(fwd.pins()), fwd.host().cookie().expect("a cookie"), LIMIT).expect("the lock")
}

/// Makes calls at once, each on a connection of its own, and returns when one of them waits for the host.
fn asked<'a>(dockerd: &Dockerd<'_>, call: &str, bodies: impl Iterator<Item = &'a Value>) -> Vec<Connection> {
    let asking = bodies.map(|body| {
        let mut connection = dockerd.connect();
        connection.ask(&format!("NetworkDriver.{call}"), body);
        connection
    });
    let asking = asking.collect();
    let fwd = dockerd.fwd;
    let queue = RunDir::new(fwd.pins()).lock(fwd.host().cookie().expect("a cookie"));
    let waits = || Ok((std::fs::read_dir(&queue).expect("it is held").count() > 1).then_some(()));
    wait_until(LIMIT, "a call waits for the host", waits).expect("it does");
    asking
}

/// Repeats a call until it is done.
fn until_done(dockerd: &Dockerd<'_>, call: &str, body: &Value) {
    let done = || Ok((dockerd.connect().call(&format!("NetworkDriver.{call}"), body) == json!({})).then_some(()));
    wait_until(LIMIT, call, done).expect("it is done");
}

#[test]
fn what_is_done_when_docker_waits_no_more_is_taken_back() {
    let fwd = Fwd::new();
    let dockerd = Dockerd::start(&fwd);
    // A network: docker forgets it, and asks for the same again, by another id.
    let body = |id: &str| network_body(&id.repeat(32), "10.80.0", false, &json!({ "fwd.network": "web" }));
    let lock = held(&fwd);
    drop(asked(&dockerd, "CreateNetwork", [body("a1")].iter()));
    // After an answer to this, the driver knows that nobody is there any more.
    dockerd.call("DeleteNetwork", &body("a1"));
    drop(lock);
    until_done(&dockerd, "CreateNetwork", &body("b2"));
    // An endpoint: docker removes it, which finds nothing, and gives its address to another one.
    let endpoint = |id: &str| {
        json!({ "NetworkID": "b2".repeat(32), "EndpointID": id.repeat(32), "SandboxKey": format!("/run/netns/{id}"),
            "Interface": { "Address": "10.80.0.2/24", "MacAddress": "02:42:0a:50:00:02" } })
    };
    dockerd.call("CreateEndpoint", &endpoint("e1"));
    let lock = held(&fwd);
    drop(asked(&dockerd, "Join", [endpoint("e1")].iter()));
    dockerd.call("DeleteEndpoint", &endpoint("e1"));
    drop(lock);
    dockerd.call("CreateEndpoint", &endpoint("e2"));
    let joins = || Ok(dockerd.connect().call("NetworkDriver.Join", &endpoint("e2")).get("InterfaceName").map(drop));
    wait_until(LIMIT, "another one has the address", joins).expect("it has");
    // Ports: so does docker.
    let ports =
        json!({ "com.docker.network.portmap": [{ "Proto": 6, "Port": 80, "HostPort": 8080, "HostPortEnd": 8080 }] });
    let mut published = endpoint("e2");
    published["Options"] = ports;
    let lock = held(&fwd);
    drop(asked(&dockerd, "ProgramExternalConnectivity", [published].iter()));
    assert_eq!(dockerd.call("EndpointOperInfo", &endpoint("e2"))["Value"]["com.docker.network.portmap"], json!([]));
    drop(lock);
    // In the order in which they have come: what is being done, this one, and what takes back.
    fwd.ok(&["network", "add", "next", "--subnet", "10.81.0.0/24"]);
    let withdrawn = || Ok(fwd.list(&["port", "ls"]).is_empty().then_some(()));
    wait_until(LIMIT, "the port is withdrawn", withdrawn).expect("it is");
    let listed = fwd.list(&["ls"]);
    assert_eq!((listed.len(), &listed[0]["container"]), (1, &json!("e2".repeat(32))));
    dockerd.call("DeleteEndpoint", &endpoint("e2"));
    dockerd.call("DeleteNetwork", &body("b2"));
}

#[test]
fn calls_that_come_at_once_choose_different_ports_and_names() {
    let fwd = Fwd::new();
    let dockerd = Dockerd::start(&fwd);
    let body = |id: &str| network_body(&id.repeat(32), "10.80.0", false, &json!({ "fwd.network": "web" }));
    let bodies = [body("a1"), body("b2")];
    let lock = held(&fwd);
    let mut asking = asked(&dockerd, "CreateNetwork", bodies.iter());
    drop(lock);
    let answers: Vec<Value> = asking.iter_mut().map(Connection::answer).collect();
    let made: Vec<usize> = (0..2).filter(|&at| answers[at] == json!({})).collect();
    assert_eq!(made.len(), 1, "one has the name: {answers:?}");
    let network = &bodies[made[0]]["NetworkID"];
    let ports = json!({ "com.docker.network.portmap": [{ "Proto": 6, "Port": 80, "HostPort": 0, "HostPortEnd": 0 }] });
    let endpoint = |last: u8| {
        json!({ "NetworkID": network, "EndpointID": format!("e{last}").repeat(32), "SandboxKey": format!("/run/netns/e{last}"),
            "Interface": { "Address": format!("10.80.0.{last}/24") }, "Options": ports })
    };
    let endpoints = [2, 3, 4, 5].map(endpoint);
    for endpoint in &endpoints {
        dockerd.call("CreateEndpoint", endpoint);
        dockerd.call("Join", endpoint);
    }
    let lock = held(&fwd);
    let mut asking = asked(&dockerd, "ProgramExternalConnectivity", endpoints.iter());
    drop(lock);
    asking.iter_mut().for_each(|asking| assert_eq!(asking.answer(), json!({})));
    assert_eq!(fwd.list(&["port", "ls"]).len(), endpoints.len());
}
