#!/usr/bin/env python3
"""What each door adds to the engine: time of one row, and throughput when the engine is the bound; prints two tables.

    cargo build --release --example doors
    make clients-python && tests/clients/.venv/bin/python load-tests/doors.py
    tests/clients/.venv/bin/python load-tests/doors.py --rounds 3 --answers 20 --seconds 2     a smoke run

Time: one client asks one row after the other, in turns by every door. What the client waits, less what the answer says of
decoding, queue and run, is what door, loopback and client add together. What client and loopback add is the time of a
request for nothing, /healthz or ServerLive, by the same client in the same turn: it is shown, and taken off. Medians. The
client is compiled (load-tests/doors.rs). Lines that begin with tritonclient are of Python's clients, which take time for
pixels of their own; answers by gRPC show them no times, which are taken from v2 binary of the same pixels a turn before.

Throughput: the server has one core, clients the other, and enough of them ask at once that the engine never rests. Batches
of one row, so that a door's cost is not hidden by others' and the window's ends matter little. The share of the time in which
the engine ran is what the door leaves of the engine's throughput.

Bars: at most 1 ms; binary pixels and gRPC at least 0.98. Needs tritonclient. Trains one pack.
"""

import argparse
import base64
import http.client
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import tritonclient.grpc as grpc
import tritonclient.http as triton

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "packaging"))
sys.path.insert(0, str(ROOT / "load-tests"))

from serving import SAMPLE, Server, free_port  # noqa: E402
from trained import train  # noqa: E402

ADDED_MS, THROUGHPUT = 1.0, 0.98
TIMES = ("x-mimi-decode-us", "x-mimi-queue-us", "x-mimi-run-us")
V1, V2 = "/v1/tasks/task/classify", "/v2/models/task/infer"


class Post:
    """A prepared request over one connection."""

    def __init__(self, port: int, path: str, body: bytes, headers: dict[str, str]) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self.arguments = ("POST", path, body, headers)

    def __call__(self) -> float:
        """Seconds that the answer says were spent below the door."""
        self.connection.request(*self.arguments)
        answer = self.connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            sys.exit(f"{self.arguments[1]}: {answer.status} {body[:300]!r}")
        return sum(int(answer.headers[name]) for name in TIMES) / 1e6

    def nothing(self) -> None:
        self.connection.request("GET", "/healthz")
        self.connection.getresponse().read()


class Grpc:
    """The same by tritonclient."""

    def __init__(self, port: int, tensor: grpc.InferInput) -> None:
        self.client = grpc.InferenceServerClient(f"127.0.0.1:{port}")
        self.tensor, self.outputs = tensor, [grpc.InferRequestedOutput("logits")]

    def __call__(self) -> None:
        self.client.infer("task", [self.tensor], outputs=self.outputs)

    def nothing(self) -> None:
        self.client.is_server_live()


def binary(pixels: np.ndarray, kind: str) -> tuple[bytes, dict[str, str]]:
    """Body and headers of v2 binary, as tritonclient writes them."""
    tensor = triton.InferInput("pixels", pixels.shape, kind)
    tensor.set_data_from_numpy(pixels, binary_data=True)
    outputs = [triton.InferRequestedOutput("logits", binary_data=True)]
    body, length = triton.InferenceServerClient.generate_request_body([tensor], outputs=outputs)
    return body, {"inference-header-content-length": str(length), "content-type": "application/octet-stream"}


class Doors:
    """Ways to ask for one row, each with a connection of its own."""

    def __init__(self, port: int, side: int, image: bytes) -> None:
        self.port = port
        shades = np.random.default_rng(0)
        # Already of the backbone's size, so that nothing is resized.
        self.bytes = shades.integers(0, 256, (1, side, side, 3), dtype=np.uint8)
        self.floats = shades.standard_normal((1, 3, side, side), dtype=np.float32)
        self.image = image

    def make(self, door: str):
        text = {"content-type": "application/json"}
        match door:
            case "v1 image":
                return Post(self.port, V1, self.image, {"content-type": "application/octet-stream"})
            case "v2 JSON image":
                data = [base64.b64encode(self.image).decode()]
                tensor = {"name": "image", "shape": [1], "datatype": "BYTES", "data": data, "parameters": {"content_type": "base64"}}
                body = {"inputs": [tensor], "outputs": [{"name": "logits"}]}
                return Post(self.port, V2, json.dumps(body).encode(), text)
            case "v2 binary UINT8":
                return Post(self.port, V2, *binary(self.bytes, "UINT8"))
            case "v2 binary FP32":
                return Post(self.port, V2, *binary(self.floats, "FP32"))
            case "gRPC UINT8" | "gRPC FP32":
                pixels = self.bytes if door.endswith("8") else self.floats
                tensor = grpc.InferInput("pixels", pixels.shape, door.split()[1])
                tensor.set_data_from_numpy(pixels)
                return Grpc(self.port, tensor)
        raise ValueError(door)


DOORS = ["v1 image", "v2 JSON image", "v2 binary UINT8", "gRPC UINT8", "v2 binary FP32", "gRPC FP32"]


def timed(call) -> tuple[float, object]:
    start = time.perf_counter()
    given = call()
    return time.perf_counter() - start, given


def added(doors: Doors, args: argparse.Namespace) -> dict[str, tuple[float, float]]:
    """Milliseconds that each door adds, and that its client does: medians of the rounds' medians."""
    asks = {door: doors.make(door) for door in DOORS}
    rounds: dict[str, list[float]] = {door: [] for door in DOORS}
    floors: dict[str, list[float]] = {door: [] for door in DOORS}
    for number in range(args.rounds + 1):
        below: list[float] = []
        for door, ask in asks.items():
            waited, spent, floor = [], [], []
            for _ in range(args.answers):
                floor.append(timed(ask.nothing)[0])
                seconds, of_engine = timed(ask)
                waited.append(seconds)
                spent.append(of_engine)
            floors[door].append(statistics.median(floor))
            if not door.startswith("gRPC"):
                below = spent
                whole = statistics.median(w - s for w, s in zip(waited, below))
            else:
                whole = statistics.median(waited) - statistics.median(below)
            rounds[door].append(whole - floors[door][-1])
        if number == 0:  # Warms up.
            rounds, floors = {door: [] for door in DOORS}, {door: [] for door in DOORS}
    return {door: (statistics.median(rounds[door]) * 1e3, statistics.median(floors[door]) * 1e3) for door in DOORS}


def compiled(port: int, side: int, args: argparse.Namespace) -> dict[str, tuple[float, float]]:
    """The same by a compiled client, of the doors for pixels."""
    command = [args.compiled, str(port), str(side), str(args.rounds), str(args.answers)]
    run = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    rows = map(json.loads, run.stdout.splitlines())
    return {row["door"]: (row["beyond"] - row["floor"], row["floor"]) for row in rows}


def run_seconds(server: Server) -> tuple[float, float]:
    """Seconds of batches' runs, and rows, since the start."""
    text = server.ask("/metrics").decode()
    return tuple(float(re.search(rf"^{name} (\S+)$", text, re.M)[1]) for name in ("mimi_run_duration_seconds_sum", "mimi_batch_rows_sum"))


def busy(server: Server, doors: Doors, door: str, args: argparse.Namespace) -> tuple[float, float]:
    """The share of the time in which the engine ran batches, and rows a second."""
    end = threading.Event()

    def ask() -> None:
        call = doors.make(door)
        while not end.is_set():
            call()

    clients = [threading.Thread(target=ask, daemon=True) for _ in range(args.clients)]
    for client in clients:
        client.start()
    time.sleep(1)
    (before, first), start = run_seconds(server), time.monotonic()
    time.sleep(args.seconds)
    (after, last), seconds = run_seconds(server), time.monotonic() - start
    end.set()
    for client in clients:
        client.join()
    return (after - before) / seconds, (last - first) / seconds


def start(args: argparse.Namespace, folder: Path, cores: str, more: list[str]) -> Server:
    port = free_port()
    command = ["taskset", "-c", cores, args.server, "serve", "--port", str(port), "--models", args.models]
    command += ["--backbone", args.backbone, "--adapters", str(folder), "--prefix-memory", "0", "--state", "none"]
    server = Server(command + more, port, dict(os.environ), output=subprocess.DEVNULL)
    server.wait_until_ready()
    return server


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", default=os.environ.get("SERVER", str(ROOT / "target/release/server")))
    parser.add_argument("--compiled", default=str(ROOT / "target/release/examples/doors"), help="the compiled client")
    parser.add_argument("--models", default="models")
    parser.add_argument("--backbone", default="clip-vit-b16")
    parser.add_argument("--image", type=Path, default=SAMPLE)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--answers", type=int, default=30, help="of a door in a round")
    parser.add_argument("--seconds", type=float, default=15, help="of a door's load")
    parser.add_argument("--clients", type=int, default=16)
    args = parser.parse_args()
    side = json.loads((Path(args.models) / args.backbone / "config.json").read_text())["image_size"]
    failed = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        train(args.server, "task", folder, args.image.read_bytes(), "--epochs", "2", "--models", args.models, "--backbone", args.backbone)
        with start(args, folder, "0,1", []) as server:
            times = added(Doors(server.port, side, args.image.read_bytes()), args)
            judged = {door: times[door] for door in DOORS[:2]} | compiled(server.port, side, args)
            python = {f"tritonclient, {door}": times[door] for door in DOORS[2:]}
            for door, (ms, floor) in (judged | python).items():
                print(f"{door:30} adds {ms:6.3f} ms; its client, asking for nothing, {floor:.3f} ms", flush=True)
            failed += [door for door, (ms, _) in judged.items() if ms > ADDED_MS]
        os.sched_setaffinity(0, {1})
        with start(args, folder, "0", ["--threads", "1", "--max-batch", "1"]) as server:
            doors = Doors(server.port, side, args.image.read_bytes())
            for door in DOORS[2:]:
                share, rate = busy(server, doors, door, args)
                print(f"{door:30} leaves the engine {share:.4f} of its time, {rate:.1f} rows/s", flush=True)
                failed += [f"{door} under load"] if share < THROUGHPUT else []
    if failed:
        sys.exit(f"beyond the bars of {ADDED_MS} ms and {THROUGHPUT}: {', '.join(failed)}")


if __name__ == "__main__":
    main()
