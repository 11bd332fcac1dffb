"""Requests that are under way when their replica ends: a body that no balancer can send twice, and that comes slowly."""

import concurrent.futures
import socket
import struct
import time
import zlib
from http.client import HTTPResponse
from random import Random

import packs

# HAProxy's `tune.bufsize` in the example; what is longer goes on to a replica before all of it is there.
BUFFER = 131_072
SIDE, PAUSE, COUNT = 256, 4.0, 24


def chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def image() -> bytes:
    """A PNG of noise, which nothing makes shorter."""
    noise = Random(1)
    rows = b"".join(b"\0" + noise.randbytes(3 * SIDE) for _ in range(SIDE))
    head = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, 0)
    made = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows, 0)) + chunk(b"IEND", b"")
    assert len(made) > BUFFER + 16_384, len(made)
    return made


def ask(port: int, task: int, body: bytes) -> int:
    """Asks a task, with a pause before the body's end; gives the status, 0 where none came."""
    head = (f"POST /v1/tasks/{packs.name(task)}/classify HTTP/1.1\r\nhost: test\r\ncontent-length: {len(body)}\r\n"
            "content-type: application/octet-stream\r\n\r\n")
    try:
        with socket.create_connection(("127.0.0.1", port), 30) as connection:
            connection.sendall(head.encode() + body[:-1024])
            time.sleep(PAUSE)
            connection.sendall(body[-1024:])
            answer = HTTPResponse(connection)
            answer.begin()
            answer.read()
            return answer.status
    except OSError:
        return 0


class Slow:
    """So many of them at once, each under another task, so that every replica has some."""

    def __init__(self, port: int) -> None:
        self.port, self.body = port, image()
        self.pool, self.asked = concurrent.futures.ThreadPoolExecutor(COUNT), []

    def begin(self) -> None:
        """Returns when replicas have the beginnings."""
        self.asked += [self.pool.submit(ask, self.port, task, self.body) for task in range(COUNT)]
        time.sleep(0.5)

    def statuses(self) -> list:
        return [one.result() for one in self.asked]
