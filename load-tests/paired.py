#!/usr/bin/env python3
"""Compares two builds of the server: processor time of an answer, and of a training step.

    python3 load-tests/paired.py --before OLD/server --after target/release/server
    python3 load-tests/paired.py --before OLD/server --after NEW/server --rounds 3 --answers 20     a smoke run

Answers: both servers run at once on one backbone and one folder of packs. In turns, each answers --answers requests, one
after the other or from --clients at once, so that they meet in batches. Its processor time is read before and after, and
its page faults. Training steps: in turns, each build times --steps
steps (`server bench --train`) in a process of its own, whose processor time counts, start included.

With --tenants the second server has a file of 1,000 tenants with quotas, and is asked with a key: give the same binary
twice, and the ratio is what keys, quotas and counting cost. With --bank the second server has a bank of so many MiB; with
--widths 4,8,96 there is a pack of each width, asked for in turns, so that batches mix them. With --traces the second server traces every request and sends
spans to a collector in this process, which is not counted: the same binary twice gives what traces cost.

Of each pair the ratio after / before is taken. Printed are the median, and the mean of the logarithms with its 95 %
interval (Student's t). Bar: the upper end is at most 1.03. Needs the standard library only.
"""

import argparse
import hashlib
import http.server
import json
import math
import os
import resource
import secrets
import statistics
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "packaging"))

from serving import SAMPLE, Server, free_port  # noqa: E402
from trained import train  # noqa: E402

BAR = 1.03
# Two-sided 95 % quantiles of Student's t, by degrees of freedom.
T = {1: 12.71, 2: 4.30, 3: 3.18, 4: 2.78, 5: 2.57, 6: 2.45, 7: 2.36, 8: 2.31, 9: 2.26, 14: 2.14, 19: 2.09, 29: 2.05, 59: 2.00}


def quantile(freedom: int) -> float:
    return T[max(known for known in T if known <= freedom)]


class Build(Server):
    """A running server of one build."""

    def __init__(
        self, binary: str, args: argparse.Namespace, folder: Path, tenants: Path | None = None, collector: str = "", bank: int = 0
    ) -> None:
        port = free_port()
        command = [binary, "serve", "--port", str(port), "--models", args.models, "--backbone", args.backbone]
        command += ["--adapters", str(folder), "--prefix-memory", "0", "--state", "none"]
        command += ["--bank-memory", str(bank)] if bank else []
        key = write_tenants(tenants) if tenants else None
        env = dict(os.environ, OTEL_EXPORTER_OTLP_ENDPOINT=collector)
        super().__init__(command + (["--tenants", str(tenants)] if tenants else []), port, env, output=subprocess.DEVNULL)
        if key:
            self.headers = {"authorization": f"Bearer {key}"}
        self.wait_until_ready()

        self.faults = []

    def spent(self) -> tuple[float, int]:
        """Processor time and page faults so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), int(fields[7])

    def answer(self, image: bytes, tasks: list[str], times: int, clients: ThreadPoolExecutor) -> float:
        """Processor time of so many answers of tasks in turns; their page faults are noted."""
        seconds, faults = self.spent()
        list(clients.map(lambda turn: self.ask(f"/v1/tasks/{tasks[turn % len(tasks)]}/classify", image), range(times)))
        after = self.spent()
        self.faults.append((after[1] - faults) / times)
        return after[0] - seconds


class Collector(http.server.BaseHTTPRequestHandler):
    """Takes what is posted."""

    posts = 0

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        Collector.posts += 1
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_) -> None:
        pass


def start_collector() -> str:
    """The address of a collector."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


def write_tenants(path: Path) -> str:
    """A file of 1,000 tenants; gives a key of one that may use the task."""
    lines, found = ["version = 1"], ""
    for number in range(1000):
        key = f"mimi_k{number:04}_{secrets.token_urlsafe(32)}"
        lines += [f"[tenants.t{number}]", 'uses = ["task"]' if number == 500 else f'tasks = ["t{number}.*"]']
        lines += ["quota = { requests_per_second = 1e6, images_per_second = 1e6, gflops_per_second = 1e6, mib_per_second = 1e6 }"]
        lines += ["limits = { rows = 64 }", f"[tenants.t{number}.keys.k{number:04}]", 'scopes = ["infer"]']
        lines += [f'sha256 = "{hashlib.sha256(key.encode()).hexdigest()}"']
        found = key if number == 500 else found
    path.write_text("\n".join(lines) + "\n")
    return found


def steps(binary: str, args: argparse.Namespace) -> float:
    """Processor time of a process that trains some steps."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [binary, "bench", "--train", "--models", args.models, "--backbone", args.backbone, "--batch", "8", "--micro-batch", "8"]
    subprocess.run([*command, "--rounds", str(args.steps)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def packs(args: argparse.Namespace, folder: Path) -> list[str]:
    """Tasks in a folder: the one that was given, or one trained for each width, or one."""
    if args.pack:
        (folder / "task").symlink_to(args.pack.resolve())
        return ["task"]
    place = ["--models", args.models, "--backbone", args.backbone]
    image = args.image.read_bytes()
    if not args.widths:
        train(args.before, "task", folder, image, "--epochs", "2", *place)
        return ["task"]
    width = json.loads((Path(args.models) / args.backbone / "config.json").read_text())["width"]
    for own in args.widths:
        options = ["--method", "adapters", "--sigma-0", str(width / own), "--epochs", "1"]
        train(args.before, f"width-{own}", folder, image, *options, *place)
    return [f"width-{own}" for own in args.widths]


def paired(measure: dict, rounds: int) -> list[tuple[float, float]]:
    """Pairs (before, after), the order changing from round to round; the first round warms up."""
    pairs = []
    for number in range(rounds + 1):
        order = ["before", "after"] if number % 2 else ["after", "before"]
        found = {name: measure[name]() for name in order}
        if number:
            pairs.append((found["before"], found["after"]))
    return pairs


def report(what: str, pairs: list[tuple[float, float]], each: int) -> bool:
    logs = [math.log(after / before) for before, after in pairs]
    mean, middle = statistics.mean(logs), statistics.median(logs)
    error = quantile(len(logs) - 1) * statistics.stdev(logs) / math.sqrt(len(logs))
    before, after = (1e3 * statistics.median(side) / each for side in zip(*pairs, strict=True))
    low, high = math.exp(mean - error), math.exp(mean + error)
    print(f"{what:<16}{before:>10.2f}{after:>10.2f} ms{math.exp(middle):>9.3f}{math.exp(mean):>9.3f}   {low:.3f} to {high:.3f}   <= {BAR}")
    return high <= BAR


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", required=True)
    parser.add_argument("--after", required=True)
    parser.add_argument("--models", default=os.environ.get("MIMI_MODELS", str(ROOT / "models")))
    parser.add_argument("--backbone", default="dinov2-small")
    parser.add_argument("--pack", type=Path, default=None, help="folder of a task's packs for the backbone [one is trained]")
    parser.add_argument("--image", type=Path, default=SAMPLE)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--answers", type=int, default=20)
    parser.add_argument("--clients", type=int, default=1, help="requests at once")
    parser.add_argument("--steps", type=int, default=4, help="0 times no training")
    parser.add_argument("--widths", type=lambda text: [int(own) for own in text.split(",")], default=[], help="of packs that are mixed")
    parser.add_argument("--bank", type=int, default=0, metavar="MIB", help="give the second server a bank")
    parser.add_argument("--tenants", action="store_true", help="give the second server tenants")
    parser.add_argument("--traces", action="store_true", help="have the second server trace")
    args = parser.parse_args()
    print(f"{'processor time':<16}{'before':>10}{'after':>10}   {'median':>9}{'mean':>9}   95 % interval    bar")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        tasks = packs(args, folder)
        tenants = {"after": folder / ".tenants.toml"} if args.tenants else {}
        collector = {"after": start_collector()} if args.traces else {}
        servers = {
            name: Build(getattr(args, name), args, folder, tenants.get(name), collector.get(name, ""), args.bank * (name == "after"))
            for name in ("before", "after")
        }
        image = args.image.read_bytes()
        try:
            with ThreadPoolExecutor(args.clients) as clients:
                asked = {name: lambda s=server: s.answer(image, tasks, args.answers, clients) for name, server in servers.items()}
                good = report("an answer", paired(asked, args.rounds), args.answers)
            before, after = (statistics.median(servers[name].faults[1:]) for name in ("before", "after"))
            print(f"{'page faults':<16}{before:>10.1f}{after:>10.1f}")
        finally:
            for server in servers.values():
                server.stop()
        if args.traces and not Collector.posts:
            sys.exit("no span came to the collector")
    if not args.steps:
        sys.exit(0 if good else 1)
    trained = {name: lambda b=getattr(args, name): steps(b, args) for name in ("before", "after")}
    good &= report("training steps", paired(trained, max(2, args.rounds // 2)), args.steps)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
