#!/usr/bin/env python3
"""Throughput of a mix of four kinds of packs over that of MiMi packs alone, on one server.

    python3 load-tests/mix.py
    python3 load-tests/mix.py --rounds 3 --seconds 2                        a smoke run
    python3 load-tests/mix.py --kinds adapters,lora,bitfit,adapter-plus     other kinds

Trains a pack of each kind, on two classes for one epoch: what a row costs does not depend on what it learned. Then
--clients connections ask without a pause, each for one task, in turns of --seconds: all for adapters, as MiMi packs
have them, and all kinds in equal parts. The order changes from round to round; the first round warms up and compiles.
The same image is asked again and again, so the cache of frozen blocks is off.

Printed are answers a second of both turns, their ratio in each round, and the median ratio. Bar: >= 0.9. Needs the
standard library only.
"""

import argparse
import http.client
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "packaging"))

from serving import SAMPLE, Server, free_port  # noqa: E402
from trained import train  # noqa: E402

BAR = 0.9
ALONE = "adapters"
HEADERS = {"content-type": "application/octet-stream"}


class Client(threading.Thread):
    """Asks one task over one connection until a moment."""

    def __init__(self, port: int, task: str, image: bytes, end: float) -> None:
        super().__init__()
        self.port, self.task, self.image, self.end = port, task, image, end
        self.answers, self.error = 0, ""

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            while time.monotonic() < self.end and not self.error:
                connection.request("POST", f"/v1/tasks/{self.task}/classify", body=self.image, headers=HEADERS)
                answer = connection.getresponse()
                body = answer.read()
                if answer.status != 200:
                    self.error = f"{self.task}: {answer.status} {body[:200]!r}"
                self.answers += 1
        except (OSError, http.client.HTTPException) as error:
            self.error = f"{self.task}: {error!r}"
        finally:
            connection.close()


def throughput(args: argparse.Namespace, port: int, tasks: list[str]) -> float:
    """Answers a second of all clients, the tasks in equal parts."""
    image, started = args.image.read_bytes(), time.monotonic()
    end = started + args.seconds
    clients = [Client(port, tasks[number % len(tasks)], image, end) for number in range(args.clients)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    if failed := [client.error for client in clients if client.error]:
        sys.exit(failed[0])
    return sum(client.answers for client in clients) / (time.monotonic() - started)


def train_kind(args: argparse.Namespace, kind: str, folder: Path) -> None:
    """A pack of one kind."""
    # The size that MiMi ends with by default.
    size = ["--sigma-0", "64"] if kind == ALONE else []
    options = ["--method", kind, "--epochs", "1", "--models", args.models, "--backbone", args.backbone, *size]
    train(args.server, kind, folder, SAMPLE.read_bytes(), *options)


def measure(args: argparse.Namespace, port: int) -> list[float]:
    """The ratio of each round."""
    kinds, ratios = args.kinds.split(","), []
    print(f"{'round':<8}{'alone':>10}{'mix':>10}{'ratio':>10}")
    for number in range(args.rounds + 1):
        turns = {"alone": [ALONE], "mix": kinds}
        order = ["alone", "mix"] if number % 2 else ["mix", "alone"]
        found = {turn: throughput(args, port, turns[turn]) for turn in order}
        if number:
            ratios.append(found["mix"] / found["alone"])
            print(f"{number:<8}{found['alone']:>10.2f}{found['mix']:>10.2f}{ratios[-1]:>10.3f}", flush=True)
    return ratios


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", default=str(ROOT / "target" / "release" / "server"))
    parser.add_argument("--models", default=os.environ.get("MIMI_MODELS", str(ROOT / "models")))
    parser.add_argument("--backbone", default="dinov2-small")
    parser.add_argument("--kinds", default="adapters,lora,ssf,adaptformer")
    parser.add_argument("--image", type=Path, default=SAMPLE)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        for kind in {ALONE, *args.kinds.split(",")}:
            train_kind(args, kind, Path(place))
        port = free_port()
        command = [args.server, "serve", "--port", str(port), "--models", args.models, "--backbone", args.backbone]
        command += ["--adapters", place, "--prefix-memory", "0", "--state", "none", "--timeout-ms", "60000"]
        with Server(command, port, output=subprocess.DEVNULL) as server:
            server.wait_until_ready()
            middle = statistics.median(measure(args, port))
            server.stop()
    print(f"median ratio {middle:.3f}   bar >= {BAR}")
    sys.exit(0 if middle >= BAR else 1)


if __name__ == "__main__":
    main()
