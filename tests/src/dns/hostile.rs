//! What a namespace may send to the name server.

use super::{dig, host_asks, server, short};
use crate::fwd::{Fwd, inside, try_inside};

/// Packets of every kind of wrong, and then many.
const HOSTILE: &str = r"
import os, random, socket, struct, sys
gateway, name = sys.argv[1], sys.argv[2].encode()
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
query = lambda i: struct.pack('>6H', i % 65536, 0x100, 1, 0, 0, 0) + bytes([len(name)]) + name + b'\0' + struct.pack('>2H', 1, 1)
random.seed(7)
for wrong in [b'', b'\0', query(1)[:11], query(1)[:14], query(1)[:12] + b'\xc0\x0c\0\1\0\1', query(1)[:12] + b'\xc0\x0d\xc0\x0c\0\1\0\1',
              b'\0\1\x81\x80' + query(1)[4:], query(1)[:4] + b'\xff\xff' * 4 + query(1)[12:], query(1) * 30]:
    udp.sendto(wrong, (gateway, 53))
for i in range(2000):
    udp.sendto(random.randbytes(random.randrange(1, 600)), (gateway, 53))
    torn = bytearray(query(i))
    torn[random.randrange(2, len(torn))] = random.randrange(256)
    udp.sendto(torn, (gateway, 53))
for i in range(20000):
    udp.sendto(query(i), (gateway, 53))
held = [socket.create_connection((gateway, 53), 5) for _ in range(40)]
for connection in held:
    try:
        connection.send(b'\xff\xff' + os.urandom(100))
    except OSError:
        pass
print('done')
";

#[test]
fn no_namespace_takes_the_name_server_from_others() {
    let fwd = Fwd::new();
    let (a, b) = (fwd.up("a", &["--dns"]), fwd.up("b", &[]));
    let pid = server(&fwd);
    let done = inside(&a, &["python3", "-c", HOSTILE, &a.gateway.to_string(), &b.name]);
    assert_eq!(done, "done\n");
    assert_eq!(short(&fwd, &b, &[&a.name]), [a.address.to_string()]);
    assert_eq!(short(&fwd, &b, &["+tcp", &a.name]), [a.address.to_string()]);
    assert_eq!(server(&fwd), pid);
}

#[test]
fn nobody_else_is_answered() {
    let fwd = Fwd::new();
    let _files = host_asks(&fwd, "");
    let a = fwd.up("a", &["--dns", "--allow-spoof"]);
    let b = fwd.up("b", &["--network", "other"]);
    let at_gateway = format!("@{}", a.gateway);
    let lost = |output: &str| output.contains("no servers could be reached") || output.contains("timed out");
    // From outside, from another network, and with an address that is nobody's.
    fwd.on_host(&["sysctl", "-qw", "net.ipv4.conf.all.rp_filter=0"]);
    let host = fwd.uplink(0).address.to_string();
    inside(fwd.internet(0), &["ip", "route", "add", "10.77.0.0/16", "via", &host]);
    let question = ["dig", "+tries=1", "+time=1", &at_gateway, &a.name];
    for ns in [&**fwd.internet(0), &b.ns] {
        for more in ["+notcp", "+tcp"] {
            let output = try_inside(ns, &[&question[..], &[more]].concat());
            assert!(!output.stdout.contains("ANSWER"), "{more}: {}", output.stdout);
        }
    }
    inside(&a, &["ip", "address", "add", "10.77.0.99/24", "dev", "eth0"]);
    let spoofed = dig(&fwd, &a, &["-b", "10.77.0.99", "+time=1", &a.name]);
    assert!(lost(&spoofed), "{spoofed}");
    assert_eq!(short(&fwd, &a, &[&a.name]), [a.address.to_string()]);
}
