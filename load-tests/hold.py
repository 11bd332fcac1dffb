#!/usr/bin/env python3
"""Holds what a client may hold, and measures what a well-behaved client sees of it; prints one table.

    python3 load-tests/hold.py                       the default backbone, about five minutes
    python3 load-tests/hold.py --seconds 10 --backbone tiny

Two servers: one with the descriptors of this shell, one with 200. Of each, in rounds: a well-behaved client alone, then the
same client while a process of its own holds 3,000 connections with half a header, 200 slow bodies and 50 slow readers,
and reconnects whenever it is cut off. The client asks half of its requests on a connection kept open and half on a
new one. Bars: 0 failed requests; its p99 under attack at most 1.5 times its p99 alone; SIGTERM, with everything still
held, ends the server within 10 s. Needs the standard library only.
"""

import argparse
import collections
import http.client
import json
import multiprocessing
import os
import resource
import selectors
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from run import IMAGE, ROOT, SERVER, Packs

TASK = "t0000"
HALF = b"GET /healthz HTTP/1.1\r\nHo"
SLOW_BODY = f"POST /v1/tasks/{TASK}/classify HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nab".encode()
# Some 40 MB of answers, more than sockets buffer.
SLOW_READER = b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n" * 30
KINDS = {"header": HALF, "body": SLOW_BODY, "reader": SLOW_READER}
# Reconnections per second: an attacker can always do more, and this machine also serves.
RECONNECTS = 300
ROWS = []


def row(what: str, value: str, bar: str = "", kept: bool = True) -> None:
    """Adds a line to the table and prints it."""
    ROWS.append((what, value, bar, kept))
    print(f"{what:<62} {value:<28} {bar}{'' if kept else '  FAILED'}", flush=True)


class Attack:
    """Connections that stall, each in its way, kept at their numbers."""

    def __init__(self, port: int, wanted: dict) -> None:
        self.port, self.wanted = port, wanted
        self.selector = selectors.DefaultSelector()
        self.held, self.readers = dict.fromkeys(wanted, 0), []
        self.cut = 0

    def open(self, kind: str) -> None:
        """One more connection of a kind; what it sends is sent once it is connected."""
        client = socket.socket()
        client.setblocking(False)
        if kind == "reader":
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect_ex(("127.0.0.1", self.port))
        self.held[kind] += 1
        self.selector.register(client, selectors.EVENT_WRITE, kind)

    def ready(self, key: selectors.SelectorKey, events: int) -> None:
        """Sends the beginning, or notices the end."""
        client, kind = key.fileobj, key.data
        try:
            if events & selectors.EVENT_WRITE:
                client.send(KINDS[kind])
                if kind == "reader":
                    # It never reads, and learns of its end by a byte that it cannot send.
                    self.selector.unregister(client)
                    self.readers.append(client)
                else:
                    self.selector.modify(client, selectors.EVENT_READ, kind)
            elif not client.recv(4096):
                raise ConnectionResetError
        except OSError:
            self.lose(client, kind)

    def lose(self, client: socket.socket, kind: str) -> None:
        if client in self.readers:
            self.readers.remove(client)
        else:
            self.selector.unregister(client)
        client.close()
        self.held[kind] -= 1
        self.cut += 1

    def run(self, pipe) -> None:
        """Attacks until told to end; tells once every connection has been made once."""
        told, budget, last = False, float(sum(self.wanted.values())), time.monotonic()
        while not (pipe.poll() and pipe.recv() == "end"):
            now = time.monotonic()
            if told:
                budget = min(budget + RECONNECTS * (now - last), RECONNECTS)
            last = now
            for kind, wanted in self.wanted.items():
                while self.held[kind] < wanted and budget >= 1:
                    self.open(kind)
                    budget -= 1
            for key, events in self.selector.select(0.02):
                self.ready(key, events)
            for client in list(self.readers):
                try:
                    client.send(b"G")
                except BlockingIOError:
                    pass
                except OSError:
                    self.lose(client, "reader")
            if not told and budget < 1:
                pipe.send("begun")
                told = True
        pipe.send((dict(self.held), self.cut))


def attack(port: int, wanted: dict, pipe) -> None:
    """The attacking process."""
    os.nice(10)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard != resource.RLIM_INFINITY and hard < sum(wanted.values()) + 50:
        sys.exit(f"{sum(wanted.values())} connections need as many descriptors; `ulimit -Hn` says {hard}")
    Attack(port, wanted).run(pipe)


class Held:
    """An attack while the block runs."""

    def __init__(self, port: int, wanted: dict) -> None:
        self.pipe, other = multiprocessing.Pipe()
        self.process = multiprocessing.Process(target=attack, args=(port, wanted, other), daemon=True)

    def __enter__(self) -> "Held":
        self.process.start()
        if not self.pipe.poll(60) or self.pipe.recv() != "begun":
            sys.exit("the attack did not begin")
        return self

    def end(self) -> tuple:
        """Connections held at the end by kind, and how many were cut off."""
        self.pipe.send("end")
        return self.pipe.recv()

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.join()


class Client:
    """Well-behaved: one request after another."""

    def __init__(self, port: int) -> None:
        self.port, self.image, self.failed = port, IMAGE.read_bytes(), collections.Counter()
        self.kept = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def ask(self, connection: http.client.HTTPConnection) -> float:
        started = time.monotonic()
        try:
            connection.request("POST", f"/v1/tasks/{TASK}/classify?top_k=1", self.image)
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                self.failed[f"status {answer.status}"] += 1
        except (OSError, http.client.HTTPException) as error:
            self.failed[type(error).__name__] += 1
            connection.close()
        return time.monotonic() - started

    def run(self, seconds: float) -> list:
        """Latencies, seconds."""
        end, took = time.monotonic() + seconds, []
        while time.monotonic() < end:
            took.append(self.ask(self.kept))
            fresh = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
            took.append(self.ask(fresh))
            fresh.close()
        return took


def p99(latencies: list) -> float:
    return sorted(latencies)[min(len(latencies) - 1, int(len(latencies) * 0.99))]


def start(args: argparse.Namespace, packs: Path, descriptors: int) -> tuple:
    """A server with so many descriptors (0: as many as there are), ready; its process and port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    limit = (lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))) if descriptors else None
    command = [args.server, "serve", "--port", port, "--adapters", packs, "--models", args.models, "--backbone", args.backbone]
    process = subprocess.Popen(list(map(str, command)), cwd=ROOT, stdout=subprocess.DEVNULL, preexec_fn=limit)
    deadline = time.monotonic() + 120
    while subprocess.run([args.server, "health", "--port", str(port)], capture_output=True).returncode:
        if process.poll() is not None or time.monotonic() > deadline:
            sys.exit("the server did not become ready")
        time.sleep(0.1)
    return process, port


def closings(port: int) -> dict:
    """Connections that the server closed, by reason."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/metrics")
    lines = connection.getresponse().read().decode().splitlines()
    connection.close()
    prefix = 'mimi_connections_closed_total{reason="'
    found = (line[len(prefix):].split('"} ') for line in lines if line.startswith(prefix))
    return {reason: int(count) for reason, count in found}


def measure(args: argparse.Namespace, packs: Path, descriptors: int) -> None:
    """One server under attack."""
    name = f"{descriptors} descriptors" if descriptors else "plenty of descriptors"
    process, port = start(args, packs, descriptors)
    wanted = {"header": args.stalled, "body": args.stalled // 15, "reader": args.stalled // 60}
    try:
        client = Client(port)
        client.run(2)
        alone, held = [], []
        share = args.seconds / args.rounds
        for _ in range(args.rounds):
            alone += client.run(share)
            with Held(port, wanted) as attacking:
                held += client.run(share)
                state = attacking.end()
        ratio = p99(held) / p99(alone)
        row(f"{name}: requests alone, under attack", f"{len(alone)}, {len(held)}")
        row(f"{name}: connections held at the end, cut off", f"{json.dumps(state[0])}, {state[1]}")
        row(f"{name}: closed by reason", json.dumps(closings(port)))
        row(f"{name}: failed requests", f"{sum(client.failed.values())} {dict(client.failed) or ''}", "0", not client.failed)
        row(f"{name}: median alone, under attack", f"{1e3 * statistics.median(alone):.1f}, {1e3 * statistics.median(held):.1f} ms")
        row(f"{name}: p99 alone, under attack", f"{1e3 * p99(alone):.1f}, {1e3 * p99(held):.1f} ms")
        row(f"{name}: p99 under attack / alone", f"{ratio:.2f}", "<= 1.5", ratio <= 1.5)
        with Held(port, wanted):
            started = time.monotonic()
            process.send_signal(signal.SIGTERM)
            code = process.wait(90)
            took = time.monotonic() - started
        row(f"{name}: SIGTERM to the end, exit code", f"{took:.1f} s, {code}", "<= 10 s, 0", took <= 10 and code == 0)
    finally:
        process.kill()


def main() -> None:
    """Reads the command line and measures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", type=Path, default=SERVER)
    parser.add_argument("--models", type=Path, default=ROOT / "models")
    parser.add_argument("--backbone", default="clip-vit-b16")
    parser.add_argument("--seconds", type=float, default=60, help="under attack, and as long alone")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--stalled", type=int, default=3000, help="half-sent headers; bodies and readers go with them")
    parser.add_argument("--descriptors", type=int, nargs="+", default=[0, 200], help="of each server; 0: this shell's")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        packs = Packs(Path(folder), args.models / args.backbone)
        packs.write(TASK, 1, 1)
        for descriptors in args.descriptors:
            measure(args, Path(folder), descriptors)
    print("\n| what | measured | bar |\n|---|---|---|")
    for what, value, bar, _ in ROWS:
        print(f"| {what} | {value} | {bar} |")
    if not all(kept for *_, kept in ROWS):
        sys.exit(1)


if __name__ == "__main__":
    main()
