#!/usr/bin/env python3
"""Publishes and retires packs thousands of times and watches the server's memory.

    python3 load-tests/cycles.py                     10,000 cycles, a few minutes
    python3 load-tests/cycles.py --cycles 500

A cycle is a load and an unload: a task's folder appears by a rename, `POST .../reload` reads, checks and publishes it,
and once its folder is gone the server unpublishes it. Tasks go in and out by the fifty; one task of each fifty answers a
request meanwhile. What has grown is counted from the first tenth of the cycles on, by which the allocators are warm.
Standard library only.
"""

import argparse
import http.client
import json
import re
import statistics
import tempfile
import time
from pathlib import Path

from run import IMAGE, ROOT, SERVER, Packs, Server

TOGETHER = 50
# Weighings at either end; their medians are compared.
WEIGHINGS = 20


class Cycler:
    """A server whose tasks come and go."""

    def __init__(self, server: Server, live: Path, retired: Path) -> None:
        self.server, self.live, self.retired = server, live, retired
        self.tasks = sorted(folder.name for folder in retired.iterdir())
        self.connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)

    def ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, dict]:
        self.connection.request(method, path, body)
        answer = self.connection.getresponse()
        return answer.status, json.loads(answer.read())

    def cycle(self, turn: int) -> None:
        """Every task in, one request, every task out."""
        for task in self.tasks:
            (self.retired / task).rename(self.live / task)
            self.expect("POST", f"/v1/tasks/{task}/reload")
        self.expect("POST", f"/v1/tasks/{self.tasks[turn % len(self.tasks)]}/classify", IMAGE.read_bytes())
        for task in self.tasks:
            (self.live / task).rename(self.retired / task)
        while self.ask("GET", "/v1/tasks")[1]["tasks"]:
            time.sleep(0.005)

    def expect(self, method: str, path: str, body: bytes | None = None) -> None:
        status, answer = self.ask(method, path, body)
        if status != 200:
            raise SystemExit(f"{path}: {status} {answer}")

    def memory(self) -> tuple[int, int]:
        """Resident memory in all, and what of it is the process's own, bytes."""
        text = Path(f"/proc/{self.server.process.pid}/status").read_text()
        return tuple(int(re.search(rf"{name}:\s+(\d+) kB", text)[1]) << 10 for name in ("VmRSS", "RssAnon"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="clip-vit-b16")
    parser.add_argument("--server", type=Path, default=SERVER)
    parser.add_argument("--cycles", type=int, default=10_000)
    args = parser.parse_args()
    turns = max(10, args.cycles // TOGETHER)
    with tempfile.TemporaryDirectory() as folder:
        live, retired = Path(folder) / "live", Path(folder) / "retired"
        live.mkdir()
        packs = Packs(retired, ROOT / "models" / args.backbone)
        for index in range(TOGETHER):
            packs.write(f"t{index:04}", 1, 0)
        with Server(live, args, "--poll-ms", "10", "--max-loss", "100", "--log", "warn") as server:
            report(Cycler(server, live, retired), turns)


def report(cycler: Cycler, turns: int) -> None:
    """Runs the cycles and prints what has grown."""
    weights, started = [], time.monotonic()
    for turn in range(turns):
        cycler.cycle(turn)
        weights.append(cycler.memory())
        if turn % max(1, turns // 10) == 0:
            whole, own = (size / 2**20 for size in weights[-1])
            print(f"{TOGETHER * (turn + 1):>6} cycles  {whole:8.1f} MiB resident, {own:8.1f} its own", flush=True)
    warm = turns // 10
    span = min(WEIGHINGS, max(1, turns // 10))
    for place, name in enumerate(("resident", "its own")):
        sizes = [weight[place] for weight in weights]
        before, after = statistics.median(sizes[warm : warm + span]), statistics.median(sizes[-span:])
        change = after / before - 1
        print(f"{name}: {before / 2**20:.1f} to {after / 2**20:.1f} MiB, {100 * change:+.2f} % (bar: below 1 %)")
    print(f"{TOGETHER * turns} cycles in {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
