"""As much of HTTP/2 (RFC 9113) and HPACK (RFC 7541) as a call of gRPC takes: one request on a connection, without TLS."""

import socket
import struct
from typing import Iterator, List, Tuple

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RESET, SETTINGS, GOAWAY = 0, 1, 3, 4, 7
ENDS, ACK, WHOLE = 1, 1, 4
# Places in HPACK's static table.
POST, HTTP, OK = 0x83, 0x86, 0x88
Frame = Tuple[int, int, int, bytes]


def frame(kind: int, flags: int, stream: int, body: bytes = b"") -> bytes:
    """A frame on the wire."""
    return struct.pack(">I", len(body))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + body


def field(name: str, value: str) -> bytes:
    """A header as a literal that no table learns."""
    return b"\0" + b"".join(bytes([len(part)]) + part.encode() for part in (name, value))


def frames(stream) -> Iterator[Frame]:
    """Kind, flags, stream and body of what comes, until the connection ends."""
    while len(head := stream.read(9)) == 9:
        size, number = int.from_bytes(head[:3], "big"), int.from_bytes(head[5:], "big")
        yield head[3], head[4], number, stream.read(size)


def answers(stream, write, told: str) -> int:
    """A server on one connection: answers each call with `told`. The preface was read. Gives the number of calls."""
    write(frame(SETTINGS, 0, 0))
    count = 0
    for kind, flags, number, _ in frames(stream):
        if kind == SETTINGS and not flags & ACK:
            write(frame(SETTINGS, ACK, 0))
        if kind in (DATA, HEADERS) and flags & ENDS:
            count += 1
            head = bytes([OK]) + field("content-type", "application/grpc")
            body = b"\0" + struct.pack(">I", len(told)) + told.encode()
            write(frame(HEADERS, WHOLE, number, head) + frame(DATA, 0, number, body)
                  + frame(HEADERS, WHOLE | ENDS, number, field("grpc-status", "0")))
    return count


def call(port: int, method: str, headers: List[Tuple[str, str]]) -> str:
    """Calls a method of the Open Inference Protocol; gives the message that came, empty where none did."""
    path = f"/inference.GRPCInferenceService/{method}"
    head = bytes([POST, HTTP]) + field(":path", path) + field(":authority", "test") + field("content-type", "application/grpc")
    head += field("te", "trailers") + b"".join(field(*one) for one in headers)
    with socket.create_connection(("127.0.0.1", port), 20) as connection:
        connection.sendall(PREFACE + frame(SETTINGS, 0, 0) + frame(HEADERS, WHOLE, 1, head) + frame(DATA, ENDS, 1, bytes(5)))
        told, ended = b"", False
        for kind, flags, number, body in frames(connection.makefile("rb")):
            told += body if kind == DATA and number == 1 else b""
            ended = number == 1 and kind in (DATA, HEADERS) and bool(flags & ENDS)
            if ended or kind in (RESET, GOAWAY):
                break
    return told[5:].decode() if ended else ""
