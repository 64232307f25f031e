"""Traffic of many kinds of a host itself, by IPv4 or IPv6: prints what became of each, one a line."""

import socket
import struct
import subprocess
import sys
import time

RESERVED, OUTSIDE, GATEWAY, INTERFACE = sys.argv[1:]
IPV6 = ":" in OUTSIDE
FAMILY = socket.AF_INET6 if IPV6 else socket.AF_INET
PORT = 7000
GROUPS = ("ff05::1234", "ff05::1235") if IPV6 else ("239.1.1.1", "239.1.1.2")
# Up to here an IPv4 header stands in what a raw socket receives (raw(7), ipv6(7)).
HEADER = 0 if IPV6 else 20
PATIENCE = 2
# One source port (or identifier) among those of translations, and one beside them.
PORTS = (5000, 40000)


def opened(kind, proto=0, port=0):
    s = socket.socket(FAMILY, kind, proto)
    s.settimeout(PATIENCE)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if port:
        s.bind(("", port))
    return s


def may_be_cut(s):
    if IPV6:
        s.setsockopt(socket.IPPROTO_IPV6, 23, 0)  # IPV6_MTU_DISCOVER
    else:
        s.setsockopt(socket.IPPROTO_IP, 10, 0)  # IP_MTU_DISCOVER


def udp(to, port=0, size=5, options=()):
    with opened(socket.SOCK_DGRAM, port=port) as s:
        if options:
            s.setsockopt(*options)
        may_be_cut(s)
        s.sendto(b"x" * size, (to, PORT))
        data, peer = s.recvfrom(65535)
        return (data, peer[:2]) == (b"x" * size, (to, PORT))


def tcp(to, port):
    with opened(socket.SOCK_STREAM, port=port) as s:
        # No TIME_WAIT: the port is used again.
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        s.connect((to, PORT))
        s.sendall(b"hello")
        return s.recv(16) == b"hello"


def raw(proto, to):
    with opened(socket.SOCK_RAW, proto) as s:
        s.sendto(bytes(4) + b"01234567", (to, 0))
        while True:
            data, peer = s.recvfrom(65535)
            if peer[0] == to:
                return data.endswith(b"01234567")


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


def icmp(to, kind, answer, identifier, size):
    """A query with an identifier: echo, timestamp. The kernel writes ICMPv6's checksum (RFC 3542 §3.1)."""
    rest = struct.pack("!HH", identifier, 1) + bytes(size)
    with opened(socket.SOCK_RAW, 58 if IPV6 else 1) as s:
        may_be_cut(s)
        s.sendto(struct.pack("!BBH", kind, 0, checksum(bytes([kind, 0, 0, 0]) + rest)) + rest, (to, 0))
        while True:
            data, peer = s.recvfrom(65535)
            if peer[0] == to and data[HEADER] == answer and data[HEADER + 4 : HEADER + 6] == rest[:2]:
                return True


def refused(to):
    with opened(socket.SOCK_DGRAM) as s:
        s.connect((to, 9))
        s.send(b"nobody is there")
        try:
            s.recv(16)
        except ConnectionRefusedError:
            return True


def frame(tag=b""):
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x88B5)) as s:
        s.settimeout(PATIENCE)
        s.bind((INTERFACE, 0x88B5))
        own = s.getsockname()[4]
        s.send(b"\xff" * 6 + own + tag + b"\x88\xb5" + b"a frame of its own type".ljust(50))
        while True:
            data, where = s.recvfrom(2048)
            if where[2] != socket.PACKET_OUTGOING:
                return b"of its own type" in data


def join(s, group):
    address, own = socket.inet_pton(FAMILY, group), socket.if_nametoindex(INTERFACE)
    if IPV6:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, struct.pack("16si", address, own))
    else:
        s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, struct.pack("4s4si", address, bytes(4), own))


def called(what, expected):
    with opened(socket.SOCK_DGRAM, port=PORT) as s:
        if what == b"multicast":
            join(s, GROUPS[0])
        s.sendto(what, (OUTSIDE, PORT))
        return s.recv(64) == expected


def reported():
    """The report that a join sends is repeated within a second (RFC 3376 §8.11, RFC 3810 §9.11)."""
    with opened(socket.SOCK_DGRAM) as s:
        join(s, GROUPS[1])
        until = time.monotonic() + 5
        while time.monotonic() < until:
            s.sendto(b"report", (OUTSIDE, PORT))
            if s.recv(16) == b"heard":
                return True


def ran(*argv):
    return subprocess.run(argv, stdout=subprocess.DEVNULL, timeout=10).returncode == 0


def neighbour():
    ran("ip", "neigh", "flush", "dev", INTERFACE)
    return ran("ping", "-n", "-c", "1", "-W", "30", GATEWAY)


KINDS = {"neighbour": neighbour, "a frame of another type": frame, "report of a group": reported}
KINDS["multicast"] = lambda: called(b"multicast", b"to all of the group")
if not IPV6:
    KINDS["broadcast"] = lambda: called(b"broadcast", b"to all")
KINDS["port unreachable"] = lambda: refused(OUTSIDE)
# The tag is taken off where it arrives.
KINDS["a frame of a VLAN"] = lambda: frame(b"\x81\x00\x00\x05")
ECHO, ECHO_REPLY = (128, 129) if IPV6 else (8, 0)
OPTIONS = {
    # Padding (RFC 8200 §4.2) behind the address, and before.
    "destination": (socket.IPPROTO_IPV6, socket.IPV6_DSTOPTS, bytes([0, 0, 1, 4, 0, 0, 0, 0])),
    "hop-by-hop": (socket.IPPROTO_IPV6, socket.IPV6_HOPOPTS, bytes([0, 0, 1, 4, 0, 0, 0, 0])),
} if IPV6 else {
    # Record route (RFC 791 §3.1), padded.
    "record route": (socket.IPPROTO_IP, socket.IP_OPTIONS, bytes([7, 11, 4, *bytes(8), 0])),
}
for to in (OUTSIDE, RESERVED):
    for port in PORTS:
        KINDS[f"udp {port} to {to}"] = lambda to=to, port=port: udp(to, port)
        KINDS[f"tcp {port} to {to}"] = lambda to=to, port=port: tcp(to, port)
        KINDS[f"echo {port} to {to}"] = lambda to=to, port=port: icmp(to, ECHO, ECHO_REPLY, port, 8)
        if not IPV6:
            KINDS[f"timestamp {port} to {to}"] = lambda to=to, port=port: icmp(to, 13, 14, port, 12)
        KINDS[f"udp {port} in fragments to {to}"] = lambda to=to, port=port: udp(to, port, 4000)
    for proto in (47, 132, 253):
        KINDS[f"protocol {proto} to {to}"] = lambda to=to, proto=proto: raw(proto, to)
    for name, option in OPTIONS.items():
        KINDS[f"{name} to {to}"] = lambda to=to, option=option: udp(to, options=option)
    KINDS[f"echo in fragments to {to}"] = lambda to=to: icmp(to, ECHO, ECHO_REPLY, 40000, 4000)

for name, run in KINDS.items():
    try:
        print(name, "ok" if run() else "wrong", sep=": ")
    except OSError as error:
        print(name, error, sep=": ")
print(len(KINDS), "kinds: ok")
