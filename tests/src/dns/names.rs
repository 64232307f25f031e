//! Namespaces find one another.

use forwarder::testbed::TestbedSpec;

use super::{dig, host_asks, musl, run_in, short};
use crate::fwd::{Fwd, pings, text};

#[test]
fn namespaces_find_one_another_by_every_resolver() {
    let fwd = Fwd::new();
    let a = fwd.up("a", &["--dns", "--alias", "www", "--alias", "Both"]);
    // Whoever joins has it, too.
    let b = fwd.up("b", &["--alias", "both"]);
    assert_eq!(a.shown["names"], serde_json::json!([a.name, "www", "both"]));
    assert_eq!((&a.shown["name_server"], &b.shown["name_server"]), (&a.shown["gateways"][0], &a.shown["gateways"][0]));
    let (address_a, address_b) = (a.address.to_string(), b.address.to_string());
    let full = format!("{}.fwd0", b.name);
    for name in [&b.name, &full, &b.name.to_uppercase()] {
        let glibc = run_in(&fwd, &a, &["getent", "ahosts", name]);
        assert!(glibc.stdout.starts_with(&address_b), "{name}: {}{}", glibc.stdout, glibc.stderr);
        assert_eq!(short(&fwd, &a, &["+search", name]), [&*address_b], "{name}");
    }
    let program = musl(&fwd);
    let program = program.to_str().expect("UTF-8");
    for name in [&b.name, &full] {
        assert_eq!(run_in(&fwd, &a, &[program, name]).stdout, format!("{address_b}\n"), "by musl");
    }
    assert_eq!(short(&fwd, &b, &["www"]), [&*address_a]);
    assert_eq!(short(&fwd, &a, &["both.fwd0"]), [&*address_a, &*address_b], "a name that several have");
    assert_eq!(short(&fwd, &a, &["+tcp", "www"]), [&*address_a]);
    assert_eq!(short(&fwd, &a, &["-x", &address_b]), [format!("{full}.")]);
    let absent = dig(&fwd, &b, &["www", "AAAA"]);
    assert!(absent.contains("status: NOERROR") && absent.contains("ANSWER: 0"), "{absent}");
    let edns = dig(&fwd, &b, &["+edns=0", "+bufsize=4096", "www"]);
    assert!(edns.contains("EDNS: version: 0") && edns.contains("udp: 1232"), "{edns}");
    assert!(run_in(&fwd, &a, &["ping", "-n", "-c1", "-W5", &b.name]).status.success());
    // Other names come and go while their namespace stays.
    assert!(pings(&a, b.address));
    let renamed = fwd.up("b", &["--alias", "mail", "--alias", "store"]);
    assert_eq!(renamed.shown["names"], serde_json::json!([b.name, "mail", "store"]));
    assert_eq!((renamed.address, short(&fwd, &a, &["mail"])), (b.address, vec![address_b.clone()]));
    assert_eq!(short(&fwd, &a, &["both"]), [&*address_a], "it is b's no more");
    fwd.up("b", &["--alias", "both"]);
    assert!(dig(&fwd, &a, &["mail.fwd0"]).contains("status: NXDOMAIN"));
    // Who goes is not found any more, and who comes back is.
    fwd.down("b");
    assert_eq!(short(&fwd, &a, &["both.fwd0"]), [&*address_a]);
    let again = fwd.up("b", &["--ip", "10.77.0.77"]);
    assert_eq!(short(&fwd, &a, &[&full]), ["10.77.0.77"]);
    assert!(pings(&a, again.address));
}

#[test]
fn names_have_addresses_of_both_families() {
    let fwd = Fwd::with(&TestbedSpec { ipv6: true, ..TestbedSpec::default() });
    let a = fwd.up("a", &["--dns"]);
    let b = fwd.up("b", &[]);
    let address6 = text(&b.shown["addresses"][1]);
    let (address6, _) = address6.split_once('/').expect("a prefix");
    let gateway6 = text(&a.shown["gateways"][1]);
    for at in ["@10.77.0.1", &format!("@{gateway6}")] {
        assert_eq!(short(&fwd, &a, &[at, &b.name, "AAAA"]), [address6], "{at}");
        assert_eq!(short(&fwd, &a, &[at, "+tcp", &b.name, "A"]), [b.address.to_string()], "{at}");
    }
    assert_eq!(short(&fwd, &a, &["-x", address6]), [format!("{}.fwd0.", b.name)]);
    let glibc = run_in(&fwd, &a, &["getent", "ahosts", &b.name]).stdout;
    assert!(glibc.contains(address6) && glibc.contains(&b.address.to_string()), "{glibc}");
}

#[test]
fn networks_know_nothing_of_one_another() {
    let fwd = Fwd::new();
    let _files = host_asks(&fwd, "");
    let a = fwd.up("a", &["--dns"]);
    let b = fwd.up("b", &["--network", "vault", "--internal", "--dns"]);
    for name in [b.name.clone(), format!("{}.vault", b.name)] {
        assert!(dig(&fwd, &a, &[&name]).contains("status: SERVFAIL"), "{name}: nobody else is there to be asked");
    }
    // Where nothing leaves, no query does.
    assert!(dig(&fwd, &b, &["example.org"]).contains("status: NXDOMAIN"));
    assert_eq!(short(&fwd, &b, &[&format!("{}.vault", b.name)]), [b.address.to_string()]);
    // The host may ask for names, and asks others itself.
    let on_host = |name: &str| fwd.on_host(&["dig", "+tries=1", "@10.77.0.1", name]);
    assert!(on_host(&a.name).contains(&a.address.to_string()));
    assert!(on_host("example.org").contains("status: REFUSED"));
}

#[test]
fn what_cannot_be_asked_for_is_said_or_refused() {
    let fwd = Fwd::new();
    let name = format!("{} x", fwd.name("a"));
    let output = fwd.call(&["up", "--ns", &name, "--dns"]);
    assert!(output.status.success() && output.stderr.contains("no name that can be asked for"), "{}", output.stderr);
    fwd.ok(&["down", "--all"]);
    fwd.up("a", &[]);
    fwd.expect_error(&["up", "--ns", &fwd.name("b"), "--dns"], 4, &["fwd0", "name server is off, not on"]);
    fwd.expect_error(&["up", "--ns", &fwd.name("b"), "--alias", "x"], 2, &["--alias x", "fwd0", "--dns"]);
    fwd.expect_error(&["up", "--ns", &fwd.name("b"), "--alias=-x"], 2, &["--alias"]);
}
