"""Answers traffic of many kinds, for client.py beside it."""

import select
import socket
import sys

RESERVED, OUTSIDE, INTERFACE = sys.argv[1:]
IPV6 = ":" in OUTSIDE
FAMILY = socket.AF_INET6 if IPV6 else socket.AF_INET
PORT = 7000
GROUP = "ff05::1234" if IPV6 else "239.1.1.1"


def bound(kind, proto, address):
    s = socket.socket(FAMILY, kind, proto)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(address)
    return s


datagrams = [bound(socket.SOCK_DGRAM, 0, (address, PORT)) for address in (RESERVED, OUTSIDE)]
listeners = [bound(socket.SOCK_STREAM, 0, (address, PORT)) for address in (RESERVED, OUTSIDE)]
for listener in listeners:
    listener.listen(16)
raws = {
    bound(socket.SOCK_RAW, proto, (address, 0)): proto
    for proto in (47, 132, 253)
    for address in (RESERVED, OUTSIDE)
}
# Of every type, but its own copies of what it sends.
frames = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
frames.bind((INTERFACE, 3))
sender = socket.socket(FAMILY, socket.SOCK_DGRAM)
sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
sender.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, INTERFACE.encode())
reported = False
streams = []
print("ready", flush=True)


def is_report(packet):
    """Of a host that joins a group, to all routers: IGMP, or MLDv2 behind a hop-by-hop header (RFC 3810 §5)."""
    if IPV6:
        return packet[12:14] == b"\x86\xdd" and packet[20] == 0 and packet[54] == 58 and packet[62] == 143
    return packet[12:14] == b"\x08\x00" and packet[23] == 2


while True:
    for s in select.select([*datagrams, *listeners, *raws, *streams, frames], [], [])[0]:
        if s in datagrams:
            data, peer = s.recvfrom(65535)
            if data == b"multicast":
                sender.sendto(b"to all of the group", (GROUP, PORT))
            elif data == b"broadcast":
                sender.sendto(b"to all", ("255.255.255.255", PORT))
            elif data == b"report":
                s.sendto(b"heard" if reported else b"not heard", peer)
            else:
                s.sendto(data, peer)
        elif s in listeners:
            streams.append(s.accept()[0])
        elif s in streams:
            try:
                data = s.recv(65535)
            except ConnectionResetError:
                data = b""
            if data:
                s.sendall(data)
            else:
                streams.remove(s)
                s.close()
        elif s in raws:
            data, peer = s.recvfrom(65535)
            s.sendto(data if IPV6 else data[20:], peer)
        else:
            frame, where = frames.recvfrom(65535)
            if where[2] == socket.PACKET_OUTGOING:
                continue
            if frame[12:14] == b"\x88\xb5":
                frames.send(frame[6:12] + frame[:6] + frame[12:])
            elif is_report(frame):
                reported = True
