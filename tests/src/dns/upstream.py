"""A name server with exact behaviour: upstream.py ADDRESS. Tells each query, as `TRANSPORT NAME`."""
import socket
import socketserver
import struct
import sys
import threading


def question(query):
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1:at + 1 + query[at]].decode())
        at += 1 + query[at]
    return ".".join(labels), query[12:at + 5]


def answer(query, transport):
    name, asked = question(query)
    print(transport, name, flush=True)
    name = name.lower()
    if name == "broken.example":
        return query[:2] + b"\x81\x82" + struct.pack(">4H", 1, 0, 0, 0) + asked
    if not name.endswith(".example"):
        return query[:2] + b"\x81\x83" + struct.pack(">4H", 1, 0, 0, 0) + asked
    if name == "big.example":
        if transport == "udp":
            return query[:2] + b"\x83\x80" + struct.pack(">4H", 1, 0, 0, 0) + asked
        text = b"".join(bytes([200]) + b"x" * 200 for _ in range(20))
        record = b"\xc0\x0c" + struct.pack(">2HIH", 16, 1, 60, len(text)) + text
    else:
        record = b"\xc0\x0c" + struct.pack(">2HIH", 1, 1, 60, 4) + socket.inet_aton("192.0.2.80")
    return query[:2] + b"\x81\x80" + struct.pack(">4H", 1, 1, 0, 0) + asked + record


class Tcp(socketserver.StreamRequestHandler):
    def handle(self):
        while length := self.rfile.read(2):
            reply = answer(self.rfile.read(struct.unpack(">H", length)[0]), "tcp")
            self.wfile.write(struct.pack(">H", len(reply)) + reply)


class Udp(socketserver.BaseRequestHandler):
    def handle(self):
        query, sock = self.request
        reply = answer(query, "udp")
        name = question(query)[0].lower()
        if name == "silent.example":
            return
        if name == "forged.example":
            # What a guess would look like: another number, another question.
            evil = reply[:-4] + socket.inet_aton("192.0.2.66")
            sock.sendto(bytes([evil[0] ^ 1]) + evil[1:], self.client_address)
            sock.sendto(evil.replace(b"forged", b"farged"), self.client_address)
        sock.sendto(reply, self.client_address)


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True


address = (sys.argv[1], 53)
threading.Thread(target=Server(address, Tcp).serve_forever, daemon=True).start()
udp = socketserver.UDPServer(address, Udp)
print("ready", flush=True)
udp.serve_forever()
