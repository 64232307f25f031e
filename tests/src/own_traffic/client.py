"""Traffic of many kinds of a host itself: prints what became of each, one a line."""

import socket
import struct
import subprocess
import sys
import time

RESERVED, OUTSIDE, GATEWAY, INTERFACE = sys.argv[1:]
PORT = 7000
GROUP = "239.1.1.1"
PATIENCE = 2
# One source port (or identifier) among those of translations, and one beside them.
PORTS = (5000, 40000)


def opened(kind, proto=0, port=0):
    s = socket.socket(socket.AF_INET, kind, proto)
    s.settimeout(PATIENCE)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if port:
        s.bind(("", port))
    return s


def udp(to, port=0, size=5, options=b""):
    with opened(socket.SOCK_DGRAM, port=port) as s:
        if options:
            s.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, options)
        s.setsockopt(socket.IPPROTO_IP, 10, 0)  # IP_MTU_DISCOVER: may be cut
        s.sendto(b"x" * size, (to, PORT))
        return s.recvfrom(65535) == (b"x" * size, (to, PORT))


def tcp(to, port):
    with opened(socket.SOCK_STREAM, port=port) as s:
        # No TIME_WAIT: the port is used again.
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        s.connect((to, PORT))
        s.sendall(b"hello")
        return s.recv(16) == b"hello"


def raw(proto, to):
    with opened(socket.SOCK_RAW, proto) as s:
        s.sendto(b"0123456789ab", (to, 0))
        while True:
            data, peer = s.recvfrom(65535)
            if peer[0] == to:
                return data.endswith(b"0123456789ab")


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


def icmp(to, kind, answer, identifier, size):
    """A query with an identifier: echo, timestamp."""
    rest = struct.pack("!HH", identifier, 1) + bytes(size)
    with opened(socket.SOCK_RAW, 1) as s:
        s.setsockopt(socket.IPPROTO_IP, 10, 0)
        s.sendto(struct.pack("!BBH", kind, 0, checksum(bytes([kind, 0, 0, 0]) + rest)) + rest, (to, 0))
        while True:
            data, peer = s.recvfrom(65535)
            if peer[0] == to and data[20] == answer and data[24:26] == rest[:2]:
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


def called(what, expected):
    with opened(socket.SOCK_DGRAM, port=PORT) as s:
        if what == b"multicast":
            own = socket.if_nametoindex(INTERFACE)
            s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, struct.pack("4s4si", socket.inet_aton(GROUP), bytes(4), own))
        s.sendto(what, (OUTSIDE, PORT))
        return s.recv(64) == expected


def reported():
    """The report that a join sends is repeated within a second (RFC 3376 §8.11)."""
    with opened(socket.SOCK_DGRAM) as s:
        own = socket.if_nametoindex(INTERFACE)
        s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, struct.pack("4s4si", socket.inet_aton("239.1.1.2"), bytes(4), own))
        until = time.monotonic() + 5
        while time.monotonic() < until:
            s.sendto(b"igmp", (OUTSIDE, PORT))
            if s.recv(16) == b"heard":
                return True


def ran(*argv):
    return subprocess.run(argv, stdout=subprocess.DEVNULL, timeout=10).returncode == 0


def arp():
    ran("ip", "neigh", "flush", "dev", INTERFACE)
    return ran("ping", "-n", "-c", "1", "-W", "30", GATEWAY)


KINDS = {"arp": arp, "a frame of another type": frame, "igmp": reported}
KINDS["multicast"] = lambda: called(b"multicast", b"to all of the group")
KINDS["broadcast"] = lambda: called(b"broadcast", b"to all")
KINDS["port unreachable"] = lambda: refused(OUTSIDE)
# The tag is taken off where it arrives.
KINDS["a frame of a VLAN"] = lambda: frame(b"\x81\x00\x00\x05")
for to in (OUTSIDE, RESERVED):
    for port in PORTS:
        KINDS[f"udp {port} to {to}"] = lambda to=to, port=port: udp(to, port)
        KINDS[f"tcp {port} to {to}"] = lambda to=to, port=port: tcp(to, port)
        KINDS[f"echo {port} to {to}"] = lambda to=to, port=port: icmp(to, 8, 0, port, 8)
        KINDS[f"timestamp {port} to {to}"] = lambda to=to, port=port: icmp(to, 13, 14, port, 12)
        KINDS[f"udp {port} in fragments to {to}"] = lambda to=to, port=port: udp(to, port, 4000)
    for proto in (47, 132, 253):
        KINDS[f"protocol {proto} to {to}"] = lambda to=to, proto=proto: raw(proto, to)
    # Record route (RFC 791 §3.1), padded.
    KINDS[f"options to {to}"] = lambda to=to: udp(to, options=bytes([7, 11, 4, *bytes(8), 0]))
    KINDS[f"echo in fragments to {to}"] = lambda to=to: icmp(to, 8, 0, 40000, 4000)

for name, run in KINDS.items():
    try:
        print(name, "ok" if run() else "wrong", sep=": ")
    except OSError as error:
        print(name, error, sep=": ")
