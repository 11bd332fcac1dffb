#!/usr/bin/env python3
"""Measures the release server on this machine, over loopback, and prints one table.

    make load-test                                   the default backbone, about ten minutes
    python3 load-tests/run.py --seconds 10 swap      one part, shorter

Parts: tasks (throughput with 1, 100 and 1000 tasks, beside the bare program), swap (a pack replaced 100 times
under load), overload (twice what the server takes), drain (SIGTERM under load). What is compared is
interleaved in rounds and given as medians of ratios, since shared machines are noisy. Needs `oha`, which is
built into vendor/tools at first (cargo install, pinned), and the standard library only.
"""

import argparse
import array
import hashlib
import http.client
import json
import os
import random
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SERVER = ROOT / "target" / "release" / "server"
OHA = ROOT / "vendor" / "tools" / "bin" / "oha"
OHA_VERSION = "1.16.0"
IMAGE = ROOT / "tests" / "images" / "sample.png"
CLASSES = 10
WIDTH = 2
DISTINCT = 100
ROWS = []


def row(what: str, value: str, bar: str = "") -> None:
    """Adds a line to the table and prints it."""
    ROWS.append((what, value, bar))
    print(f"{what:<58} {value:<24} {bar}", flush=True)


class Packs:
    """A folder of made-up packs for a backbone."""

    def __init__(self, root: Path, backbone: Path) -> None:
        self.root = root
        self.config = json.loads((backbone / "config.json").read_text())
        self.random = random.Random(0)

    def write(self, task: str, version: int, favourite: int) -> Path:
        """Writes a version whose head prefers one class, beside and renamed."""
        target = self.root / task / str(version)
        beside = self.root / task / f".{version}.partial"
        beside.mkdir(parents=True)
        width, sites = self.config["width"], self.sites()
        tensors = {"head.weight": ([CLASSES, width], self.floats(CLASSES * width, 0.01))}
        bias = [50.0 if c == favourite else 0.0 for c in range(CLASSES)]
        tensors["head.bias"] = ([CLASSES], array.array("f", bias))
        for site in sites:
            tensors[f"{site}.adapter.down.weight"] = ([WIDTH, width], self.floats(WIDTH * width, 0.02))
            tensors[f"{site}.adapter.up.weight"] = ([width, WIDTH], self.floats(WIDTH * width, 0.02))
        weights = safetensors(tensors)
        (beside / "adapter_model.safetensors").write_bytes(weights)
        (beside / "adapter_config.json").write_text(json.dumps(self.manifest(sites, weights)))
        beside.rename(target)
        return target

    def many(self, count: int) -> None:
        """Tasks t0000, t0001, …, of `DISTINCT` different packs."""
        folders = [self.write(f"t{i:04}", 1, i % CLASSES) for i in range(min(count, DISTINCT))]
        for i in range(len(folders), count):
            (self.root / f"t{i:04}").mkdir()
            (self.root / f"t{i:04}" / "1").symlink_to(folders[i % DISTINCT])

    def sites(self) -> list:
        return [f"blocks.{b}.{place}" for b in range(self.config["depth"]) for place in ("attn", "mlp")]

    def floats(self, count: int, scale: float) -> array.array:
        return array.array("f", [self.random.uniform(-scale, scale) for _ in range(count)])

    def manifest(self, sites: list, weights: bytes) -> dict:
        return {
            "format_version": 1,
            "peft_type": "MIMI",
            "base_model_name_or_path": self.config["name"],
            "base_model_sha256": self.config["fingerprint"],
            "activation": self.config["activation"],
            "adapter_widths": {site: WIDTH for site in sites},
            "leave_out": [],
            "labels": [f"class-{c}" for c in range(CLASSES)],
            "preprocessing": self.config["preprocessing"],
            "precision": "fp32",
            "weights_sha256": hashlib.sha256(weights).hexdigest(),
            "self_test": {"images": 0, "tolerance": 0.001},
        }


def safetensors(tensors: dict) -> bytes:
    """The file format: header length, JSON header, data."""
    header, data = {}, b""
    for name, (shape, values) in tensors.items():
        raw = values.tobytes()
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data


class Server:
    """The release server on a free port."""

    def __init__(self, packs: Path, args: argparse.Namespace, *options: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        server = getattr(args, "server", SERVER)
        command = [server, "serve", "--port", str(self.port), "--adapters", packs, "--backbone", args.backbone]
        self.process = subprocess.Popen([*map(str, command), *options], cwd=ROOT, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while subprocess.run([server, "health", "--port", str(self.port)], capture_output=True).returncode:
            if self.process.poll() is not None or time.monotonic() > deadline:
                sys.exit("the server did not become ready")
            time.sleep(0.1)

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(90)

    def rss(self) -> int:
        """Resident memory that is the process's own, bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"RssAnon:\s+(\d+) kB", status)[1]) << 10

    def cpu(self) -> float:
        """Processor time the process has used, seconds."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def load(self, pattern: str, seconds: float, clients: int, rate: float = 0) -> dict:
        """oha's report of `clients` asking for tasks that match `pattern`, `rate` times a second where given."""
        url = f"http://127.0.0.1:{self.port}/v1/tasks/{pattern}/classify"
        command = [OHA, "--no-tui", "--output-format", "json", "-z", f"{seconds}s", "-w", "-c", str(clients)]
        command += ["-q", f"{rate:.0f}"] if rate else []
        command += ["-m", "POST", "-D", IMAGE, "--rand-regex-url", url]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True)
        return json.loads(done.stdout)

    def classify(self, task: str) -> tuple:
        """Status and parsed answer of one request on its own connection."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request("POST", f"/v1/tasks/{task}/classify", IMAGE.read_bytes())
        answer = connection.getresponse()
        body = json.loads(answer.read())
        connection.close()
        return answer.status, body


def answered(report: dict) -> float:
    """Answers of status 200 a second; any other status ends the measurement."""
    codes = report["statusCodeDistribution"]
    if set(codes) != {"200"}:
        sys.exit(f"unexpected answers: {codes} {report['errorDistribution']}")
    return codes["200"] / report["summary"]["total"]


def bare(args: argparse.Namespace) -> float:
    """Images a second of the bare program at the server's batch."""
    command = [SERVER, "bench", "--backbone", args.backbone, "--batch", "4", "--rounds", "2", "--width", str(WIDTH)]
    done = subprocess.run(list(map(str, command)), cwd=ROOT, capture_output=True, text=True, check=True)
    return float(re.search(r"bare program, 4 rows +[\d.]+ ms +([\d.]+) images/s", done.stdout)[1])


def tasks(args: argparse.Namespace, backbone: Path) -> None:
    """Throughput with 1, 100 and 1000 tasks, interleaved, beside the bare program."""
    patterns = {"1": "t0000", "100": "t00[0-9]{2}", "1000": "t0[0-9]{3}"}
    rates = {name: [] for name in [*patterns, "bare"]}
    # Processor time for each answer: what other processes of a shared machine disturb least.
    costs = {name: [] for name in patterns}
    with tempfile.TemporaryDirectory() as folder:
        Packs(Path(folder), backbone).many(1000)
        with Server(Path(folder), args) as server:
            server.load("t0000", 3, 8)
            for _ in range(args.rounds):
                for name, pattern in patterns.items():
                    before, report = server.cpu(), server.load(pattern, args.seconds, 8)
                    rates[name].append(answered(report))
                    costs[name].append((server.cpu() - before) / report["statusCodeDistribution"]["200"])
                rates["bare"].append(bare(args))
            row("requests/s with 1 task, 8 clients", f"{statistics.median(rates['1']):.2f}")
            row("bare program, images/s, batch 4", f"{statistics.median(rates['bare']):.2f}")
            for name, base, bar in (("100", "1", ">= 0.97"), ("1000", "1", ">= 0.95"), ("1", "bare", ">= 0.95")):
                ratios = [a / b for a, b in zip(rates[name], rates[base])]
                what = "server / bare program" if base == "bare" else f"T({name} tasks) / T(1 task)"
                row(what, f"{statistics.median(ratios):.3f} ({min(ratios):.3f}-{max(ratios):.3f})", bar)
            for name, bar in (("100", ">= 0.97"), ("1000", ">= 0.95")):
                ratios = [a / b for a, b in zip(costs["1"], costs[name])]
                what = f"processor time an answer, 1 task / {name} tasks"
                row(what, f"{statistics.median(ratios):.3f} ({min(ratios):.3f}-{max(ratios):.3f})", bar)
            connection = http.client.HTTPConnection("127.0.0.1", server.port)
            started = time.monotonic()
            connection.request("GET", "/metrics")
            text = connection.getresponse().read().decode()
            took = time.monotonic() - started
            mean = series(text, "mimi_decode_duration_seconds_sum") / series(text, "mimi_decode_duration_seconds_count")
            row("decode and resize, mean", f"{1e3 * mean:.2f} ms")
            row("scrape of /metrics with 1000 tasks", f"{1e3 * took:.1f} ms, {len(text) >> 10} KiB")


def series(text: str, name: str) -> float:
    return float(re.search(rf"^{name} (\S+)$", text, re.M)[1])


def swap(args: argparse.Namespace, backbone: Path) -> None:
    """A pack is replaced 100 times under load; every answer must be wholly of one version."""
    with tempfile.TemporaryDirectory() as folder:
        packs = Packs(Path(folder), backbone)
        packs.write("t", 1, 1)
        with Server(Path(folder), args) as server:
            stop, failed, seen = threading.Event(), [], []

            def client() -> None:
                while not stop.is_set():
                    try:
                        status, body = server.classify("t")
                        label = body["predictions"][0]["label"]
                        if status != 200 or label != f"class-{body['version'] % CLASSES}":
                            failed.append((status, body))
                        seen.append(body["version"])
                    except (OSError, KeyError, http.client.HTTPException) as error:
                        failed.append(repr(error))

            clients = [threading.Thread(target=client) for _ in range(6)]
            for thread in clients:
                thread.start()
            started = time.monotonic()
            for version in range(2, 102):
                packs.write("t", version, version % CLASSES)
                connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
                connection.request("POST", "/v1/tasks/t/reload")
                answer = connection.getresponse()
                if answer.status != 200:
                    failed.append(("reload", answer.status, answer.read()))
                connection.close()
                time.sleep(max(0.0, started + args.swap_seconds * (version - 1) / 100 - time.monotonic()))
            stop.set()
            for thread in clients:
                thread.join()
            took = time.monotonic() - started
            row("swap under load: replacements, seconds", f"100 in {took:.0f} s")
            row("swap under load: answers, versions seen", f"{len(seen)}, {len(set(seen))}")
            row("swap under load: failed or mixed", f"{len(failed)} {failed[:2] if failed else ''}", "0")


def overload(args: argparse.Namespace, backbone: Path) -> None:
    """Requests come at twice the rate that the server can answer."""
    with tempfile.TemporaryDirectory() as folder:
        Packs(Path(folder), backbone).many(10)
        with Server(Path(folder), args, "--queue-limit", "16") as server:
            server.load("t000[0-9]", 3, 16)
            capacity = answered(server.load("t000[0-9]", 10, 8))
            before = server.rss()
            report = server.load("t000[0-9]", args.swap_seconds, 128, 2 * max(capacity, 1))
            after = server.rss()
            codes = report["statusCodeDistribution"]
            goodput = codes.get("200", 0) / report["summary"]["total"]
            row("2x overload: answers by status", json.dumps(codes), "200, 429, 503 only")
            row("2x overload: 200s a second / capacity", f"{goodput:.2f} / {capacity:.2f}")
            row("2x overload: broken connections", json.dumps(report["errorDistribution"]))
            row("2x overload: own memory before, after", f"{before >> 20}, {after >> 20} MiB", "flat")
            row("2x overload: alive after", str(server.process.poll() is None))


def drain(args: argparse.Namespace, backbone: Path) -> None:
    """SIGTERM under load: every request whose bytes the server took is answered."""
    with tempfile.TemporaryDirectory() as folder:
        Packs(Path(folder), backbone).many(4)
        server = Server(Path(folder), args)
        done, broken = [], []

        def client() -> None:
            while True:
                try:
                    done.append(server.classify("t0000")[0])
                except (ConnectionRefusedError, ConnectionResetError, http.client.RemoteDisconnected):
                    return  # Not accepted: the listener was gone.
                except Exception as error:  # noqa: BLE001
                    broken.append(repr(error))
                    return

        clients = [threading.Thread(target=client) for _ in range(8)]
        for thread in clients:
            thread.start()
        time.sleep(6)
        os.kill(server.process.pid, signal.SIGTERM)
        for thread in clients:
            thread.join()
        code = server.process.wait(90)
        statuses = {status: done.count(status) for status in set(done)}
        row("SIGTERM under load: answers by status, exit code", f"{statuses}, {code}", "exit 0")
        row("SIGTERM under load: answers broken off", f"{len(broken)} {broken[:1] if broken else ''}", "0")


PARTS = {"tasks": tasks, "swap": swap, "overload": overload, "drain": drain}


def main() -> None:
    """Reads the command line and runs the parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; default all")
    parser.add_argument("--backbone", default="clip-vit-b16")
    parser.add_argument("--seconds", type=float, default=12, help="of each measurement of throughput")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--swap-seconds", type=float, default=60, help="of swapping, and of overload")
    args = parser.parse_args()
    if not OHA.exists():
        command = ["cargo", "install", "oha", "--version", OHA_VERSION, "--locked", "--root", str(OHA.parent.parent)]
        subprocess.run(command, check=True)
    for part in args.parts or PARTS:
        PARTS[part](args, ROOT / "models" / args.backbone)
    print("\n| what | measured | bar |\n|---|---|---|")
    for line in ROWS:
        print("| " + " | ".join(line) + " |")


if __name__ == "__main__":
    main()
