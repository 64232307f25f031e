"""A program of the host: asks a published port, and prints what it was told and whom it takes for the other end."""

import socket
import sys

KIND, ADDRESS, PORT = sys.argv[1], sys.argv[2], int(sys.argv[3])
BOUND = sys.argv[4] if len(sys.argv) > 4 else ""

family = socket.AF_INET6 if ":" in ADDRESS else socket.AF_INET
kind = socket.SOCK_STREAM if KIND == "tcp" else socket.SOCK_DGRAM
s = socket.socket(family, kind)
s.settimeout(10)
if BOUND:
    s.bind((BOUND, 0))
try:
    if KIND == "sendto":
        # A first datagram may be lost while a neighbour is being found.
        s.settimeout(0.5)
        for attempt in range(20):
            s.sendto(b"hello", (ADDRESS, PORT))
            try:
                data, peer = s.recvfrom(64)
                break
            except TimeoutError:
                if attempt == 19:
                    raise
    else:
        s.connect((ADDRESS, PORT))
        s.sendall(b"hello")
        data, peer = s.recv(64), s.getpeername()
    print(data.decode(), peer[0], peer[1])
except OSError as error:
    print(type(error).__name__)
