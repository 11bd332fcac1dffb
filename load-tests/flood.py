#!/usr/bin/env python3
"""What a light tenant feels of one that floods, and how tenants that want everything share the device; prints a table.

    python3 load-tests/flood.py                       about five minutes
    python3 load-tests/flood.py --seconds 2 --rounds 2     a smoke run

The flood has 8 connections. Each sends large photographs without a pause, each for 8 tasks at once, and heeds no refusal.
The light tenant asks for one small image at a time. In turns of --seconds it is alone and beside the flood, and of each pair
the ratio of p99 is taken. Then tenants of weights 1:1:1:1, and of 1:2:4, ask for more than there is. What each got are
FLOPs by `mimi_tenant_flops_total`.

Bars: median ratio of p99 at most 2; Jain's index of four equal tenants at least 0.97; parts within 3 % of weights; no
request of the light tenant refused. Trains one pack. Needs the standard library only.
"""

import argparse
import collections
import hashlib
import http.client
import multiprocessing
import os
import re
import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "packaging"))
sys.path.insert(0, str(ROOT / "load-tests"))

from photo import photo  # noqa: E402
from serving import SAMPLE, Server, free_port  # noqa: E402
from trained import train  # noqa: E402

RATIO, JAIN, APART = 2.0, 0.97, 0.03
CONNECTIONS, TASKS, PHOTOS = 8, 8, 4
PAUSE = 0.02
# Until queues are full, and until they are empty again.
SETTLE = 2.0
WEIGHTS = {"light": 1, "flood": 1, "a1": 1, "b1": 1, "c1": 1, "d1": 1, "x1": 1, "x2": 2, "x4": 4}


class Tenants:
    """A file of tenants, and a key of each."""

    def __init__(self, path: Path) -> None:
        self.keys, lines = {}, ["version = 1"]
        for number, (name, weight) in enumerate(WEIGHTS.items()):
            lines += [f"[tenants.{name}]", f"weight = {weight}", 'uses = ["task*"]', *self.key(name, number, "infer")]
        lines += ["[tenants.operator]", *self.key("operator", len(WEIGHTS), "metrics")]
        path.write_text("\n".join(lines) + "\n")

    def key(self, name: str, number: int, scope: str) -> list[str]:
        secret = f"mimi_k{number:04}_{secrets.token_urlsafe(32)}"
        self.keys[name] = {"authorization": f"Bearer {secret}"}
        digest = hashlib.sha256(secret.encode()).hexdigest()
        return [f"[tenants.{name}.keys.k{number:04}]", f'sha256 = "{digest}"', f'scopes = ["{scope}"]']


class Load:
    """A tenant that wants everything, in a process of its own."""

    def __init__(self, port: int, key: dict, images: list[bytes]) -> None:
        self.end, self.answers = multiprocessing.Event(), multiprocessing.Queue()
        arguments = (port, key, [many(image) for image in images], self.end, self.answers)
        self.process = multiprocessing.Process(target=flood, args=arguments, daemon=True)
        self.process.start()

    def stop(self) -> collections.Counter:
        """Answers by status."""
        self.end.set()
        found = self.answers.get(timeout=120)
        self.process.join()
        return found


def many(image: bytes) -> bytes:
    """The body that asks for all tasks."""
    tasks = ",".join(f"task{number}" for number in range(TASKS))
    part = "--b\r\ncontent-disposition: form-data; name="
    head = f'{part}"tasks"\r\n\r\n{tasks}\r\n{part}"image"; filename="a"\r\n\r\n'
    return head.encode() + image + b"\r\n--b--\r\n"


def flood(port: int, key: dict, bodies: list[bytes], end, answers) -> None:
    found = collections.Counter()
    headers = {**key, "content-type": "multipart/form-data; boundary=b"}

    def connection(number: int) -> None:
        line = http.client.HTTPConnection("127.0.0.1", port, timeout=90)
        while not end.is_set():
            number += 1
            try:
                line.request("POST", "/v1/classify", bodies[number % len(bodies)], headers)
                answer = line.getresponse()
                answer.read()
                found[str(answer.status)] += 1
            except (OSError, http.client.HTTPException) as error:
                # A server that refuses before the body has come closes the connection.
                found[type(error).__name__] += 1
                line.close()

    threads = [threading.Thread(target=connection, args=(number,)) for number in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    answers.put(found)


def waits(port: int, key: dict, seconds: float) -> list[float]:
    """Sorted times of one light client, on one connection."""
    line, image, found = http.client.HTTPConnection("127.0.0.1", port, timeout=90), SAMPLE.read_bytes(), []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        started = time.perf_counter()
        line.request("POST", "/v1/tasks/task0/classify", image, {**key, "content-type": "application/octet-stream"})
        answer = line.getresponse()
        body = answer.read()
        found.append(time.perf_counter() - started)
        if answer.status != 200:
            sys.exit(f"the light tenant got {answer.status}: {body[:200]!r}")
        time.sleep(PAUSE)
    line.close()
    return sorted(found)


def quantile(found: list[float], part: float) -> float:
    return found[min(len(found) - 1, int(part * len(found)))]


def harm(args: argparse.Namespace, port: int, keys: dict, photos: list[bytes]) -> bool:
    """The light tenant alone and beside the flood, in turns."""
    print(f"{'light tenant, ms':<20}{'p50 alone':>10}{'beside':>9}{'p99 alone':>11}{'beside':>9}{'p50 ratio':>11}{'p99 ratio':>11}")
    ratios, flooded = [], collections.Counter()
    waits(port, keys["light"], 2 * SETTLE)
    for number in range(args.rounds):
        alone = waits(port, keys["light"], args.seconds)
        load = Load(port, keys["flood"], photos)
        time.sleep(SETTLE)
        beside = waits(port, keys["light"], args.seconds)
        flooded += load.stop()
        time.sleep(SETTLE)
        p50, p99 = ([quantile(found, part) for found in (alone, beside)] for part in (0.5, 0.99))
        ratios.append((p50[1] / p50[0], p99[1] / p99[0]))
        times = "".join(f"{1e3 * t:>{width}.1f}" for t, width in zip(p50 + p99, (10, 9, 11, 9), strict=True))
        print(f"{f'round {number + 1}':<20}{times}{ratios[-1][0]:>11.2f}{ratios[-1][1]:>11.2f}", flush=True)
    middle = [statistics.median(side) for side in zip(*ratios, strict=True)]
    print(f"{'median':<59}{middle[0]:>11.2f}{middle[1]:>11.2f}   <= {RATIO}")
    print("the flood got " + ", ".join(f"{count} of {what}" for what, count in flooded.most_common()))
    if not flooded["200"]:
        print("the flood got no answer: nothing was measured")
        return False
    return middle[1] <= RATIO


def flops(port: int, key: dict, names: list[str]) -> list[float]:
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    line.request("GET", "/metrics", headers=key)
    text = line.getresponse().read().decode()
    line.close()
    found = dict(re.findall(r'^mimi_tenant_flops_total\{tenant="(\w+)"\} (\S+)', text, re.MULTILINE))
    return [float(found.get(name, 0)) for name in names]


def parts(args: argparse.Namespace, port: int, keys: dict, names: list[str]) -> list[float]:
    """What each tenant got for its weight, 1 being its share."""
    loads = [Load(port, keys[name], [SAMPLE.read_bytes()]) for name in names]
    time.sleep(2 * SETTLE)
    before = flops(port, keys["operator"], names)
    time.sleep(args.seconds * args.rounds)
    after = flops(port, keys["operator"], names)
    found = sum((load.stop() for load in loads), collections.Counter())
    time.sleep(SETTLE)
    got, weights = [b - a for a, b in zip(before, after, strict=True)], [WEIGHTS[name] for name in names]
    if min(got) <= 0:
        sys.exit(f"some tenant got nothing: {dict(zip(names, got, strict=True))}, answers {dict(found)}")
    return [part / sum(got) * sum(weights) / weight for part, weight in zip(got, weights, strict=True)]


def shares(args: argparse.Namespace, port: int, keys: dict) -> bool:
    equal = parts(args, port, keys, ["a1", "b1", "c1", "d1"])
    jain = sum(equal) ** 2 / (len(equal) * sum(part**2 for part in equal))
    print(f"{'weights 1:1:1:1':<20}{' '.join(f'{part:.3f}' for part in equal):<30}Jain's index {jain:.4f}   >= {JAIN}", flush=True)
    unequal = parts(args, port, keys, ["x1", "x2", "x4"])
    apart = max(abs(part - 1) for part in unequal)
    print(f"{'weights 1:2:4':<20}{' '.join(f'{part:.3f}' for part in unequal):<30}apart by {100 * apart:.1f} %   <= {100 * APART:.0f} %")
    return jain >= JAIN and apart <= APART


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", default=str(ROOT / "target" / "release" / "server"))
    parser.add_argument("--models", default=os.environ.get("MIMI_MODELS", str(ROOT / "models")))
    parser.add_argument("--backbone", default="dinov2-small-56")
    parser.add_argument("--pack", type=Path, default=None, help="folder of a task's packs for the backbone [one is trained]")
    parser.add_argument("--size", default="3000x2000", help="pixels of the flood's photographs")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--only", choices=["harm", "shares"], default=None)
    args = parser.parse_args()
    photos = [photo(*map(int, args.size.split("x")), seed) for seed in range(PHOTOS)]
    with tempfile.TemporaryDirectory() as place:
        folder, port = Path(place), free_port()
        if not args.pack:
            train(args.server, "task", folder, SAMPLE.read_bytes(), "--epochs", "2", "--models", args.models, "--backbone", args.backbone)
        for number in range(TASKS):
            shutil.copytree(args.pack or folder / "task", folder / f"task{number}")
        keys = Tenants(folder / ".tenants.toml").keys
        command = [args.server, "serve", "--port", str(port), "--models", args.models, "--backbone", args.backbone]
        command += ["--adapters", place, "--state", "none", "--tenants", str(folder / ".tenants.toml"), "--log", "warn"]
        with Server(command, port, output=subprocess.DEVNULL) as server:
            server.wait_until_ready()
            good = args.only == "shares" or harm(args, port, keys, photos)
            good &= args.only == "harm" or shares(args, port, keys)
            server.stop()
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
