#!/usr/bin/env python3
"""Races this server with what people use today: same machine, images, weights, tasks and client.

    pip install -r load-tests/race/requirements.txt      (torch: the CPU build is enough)
    python3 load-tests/race/run.py                       all of it, about 25 minutes on two cores
    python3 load-tests/race/run.py --tasks 1 10 --rounds 1 --seconds 5 --parts servers
    python3 load-tests/race/run.py --parts report        table and plots of docs/benchmarks.md from results.json

Parts: `costs` (what an ONNX Runtime session costs), `servers` (requests/s, latency, memory, start-up with 1, 10, 100
and 1000 tasks drawn at random), `overhead` (a lone request over the bare program), `sites` (time with adapters
removed), `fork` (one image under many tasks), `report`. Every part writes into results.json as it goes; a run that
was cut off resumes, a complete one only reports, and `--again` starts over.

Rules: the client keeps --clients requests open; every server has --threads threads inside an operator; nobody is
timed before its logits agree with the bare program's within --tolerance, on lossless images (JPEG decoders differ
from each other; by how much that shows is recorded). Servers are restarted in every round and take turns, so
that what else the machine does hits all of them. The sessions of the session-a-task servers are as many as fit into
the memory that this server takes with the same number of tasks resident (at least one).
"""

import argparse
import json
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

import machine
import measure
from bare import Bare
from client import load
from kinds import BARE, MAPPED, ONNX, OTHER, Starter
from packs import name
from prepare import lossless, prepare
from report import report

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
# Largest difference of a log-probability from the bare program's.
TOLERANCE = 1e-3
PARTS = ("costs", "servers", "overhead", "sites", "fork", "report")


class Results:
    """results.json, written after every measurement."""

    def __init__(self, path: Path, settings: dict, again: bool) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self.data = json.loads(path.read_text()) if path.exists() and not again else {}
        if self.data.setdefault("settings", settings) != settings:
            sys.exit(f"{path} has other settings: {self.data['settings']}; --again starts over")

    def begin(self) -> None:
        """Notes the machine; results of two machines do not go together."""
        here = machine.describe()
        if self.data.setdefault("machine", here) != here:
            sys.exit(f"{self.path} comes from another machine or other libraries; --again starts over")

    def put(self, part: str, value) -> None:
        self.data[part] = value
        beside = self.path.with_suffix(".partial")
        text = json.dumps(self.data, indent=1)
        # Latencies on one line each list, not each number.
        text = re.sub(r"\[[\d.,\s]+\]", lambda numbers: " ".join(numbers[0].split()), text)
        beside.write_text(text + "\n")
        beside.rename(self.path)


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def log_softmax(logits: list[float]) -> list[float]:
    import numpy

    values = numpy.asarray(logits, numpy.float64)
    values -= values.max()
    return (values - numpy.log(numpy.exp(values).sum())).tolist()


class Servers:
    """The main part: all servers with the same number of tasks, in rounds."""

    def __init__(self, args, results: Results, images: list[bytes]) -> None:
        self.args, self.results, self.images = args, results, images
        self.work = args.work
        self.starter = Starter(args, args.work, images[0])
        config = json.loads((self.starter.backbone() / "config.json").read_text())
        # The last is what the clients send; the others tell whether the computation is the same.
        self.checks = [lossless(images[0]), lossless(images[1]), images[0]]
        # Logits of the last task of each number of tasks and of the first.
        self.expected = {}
        for index in sorted({0, *(count - 1 for count in args.tasks)}):
            bare = Bare(args.work / "onnx" / f"{name(index)}.onnx", config, args.threads, spin=False)
            self.expected[index] = [log_softmax(bare.logits(bare.pixels(image))) for image in self.checks]

    def run(self) -> None:
        cells = self.results.data.get("servers", {})
        for turn in range(self.args.rounds):
            for count in self.args.tasks:
                rounds = cells.setdefault(str(count), [])
                if len(rounds) <= turn:
                    rounds.append(self.cell(count, turn))
                    self.results.put("servers", cells)

    def cell(self, count: int, turn: int) -> dict:
        """One round with one number of tasks: every contender's measurement by name."""
        server = self.starter.server(count)
        running, measured = [server], {}
        try:
            measure.make_resident(server, count)
            load(server, [name(i) for i in range(count)], self.images, (self.args.clients, 3, turn))
            budget = server.pss()
            limits = {mapped: self.sessions(budget, mapped) for mapped in (False, True)}
            running += [self.starter.onnx(limits[mapped], mapped) for mapped in (False, True)]
            running.append(self.starter.torch(count))
            if self.args.other_options:
                running.append(self.starter.server(count, other=True))
                measure.make_resident(running[-1], count)
            first = turn % len(running)
            for contender in running[first:] + running[:first]:
                measured[contender.kind.name] = self.one(contender, count, turn)
            measured[ONNX]["sessions"], measured[MAPPED]["sessions"] = limits[False], limits[True]
        finally:
            for contender in running:
                contender.stop()
        if count == 1:
            done = subprocess.run(self.starter.bare(self.args.seconds), check=True, stdout=subprocess.PIPE, text=True)
            measured[BARE] = self.said(BARE, count, json.loads(done.stdout.splitlines()[-1]))
        return measured

    def one(self, contender, count: int, turn: int) -> dict:
        jpeg = self.agree(contender, count)
        tasks = [name(index) for index in range(count)]
        load(contender, tasks, self.images, (self.args.clients, 2, -1 - turn))
        got = load(contender, tasks, self.images, (self.args.clients, self.args.seconds, turn))
        return self.said(
            contender.kind.name, count, {**got, "start": contender.start, "pss": contender.pss(), "jpeg": jpeg}
        )

    def said(self, who: str, count: int, got: dict) -> dict:
        got["rate"] = len(got["seconds"]) / got["took"]
        got["seconds"] = [round(seconds, 4) for seconds in got["seconds"]]
        p50 = statistics.median(got["seconds"])
        memory = got["pss"] >> 20
        say(
            f"{count:>5} tasks  {who:<24}{got['rate']:7.2f}/s  p50 {p50:.3f} s  {memory} MiB  start {got['start']:.2f} s"
        )
        return got

    def agree(self, contender, count: int) -> float:
        """Ends the run unless the contender's logits are the bare program's; gives the difference on JPEG."""
        for index in sorted({0, count - 1}):
            differences = []
            for image, expected in zip(self.checks, self.expected[index], strict=True):
                found = log_softmax(contender.ask(name(index), image))
                differences.append(max(abs(a - b) for a, b in zip(found, expected, strict=True)))
            allowed = self.args.tolerance if contender.kind.name != OTHER else self.args.other_tolerance
            if not max(differences[:-1]) <= allowed:
                sys.exit(f"{contender.kind.name}, task {index}: differs by {differences} from the bare program")
        return differences[-1]

    def sessions(self, budget: int, mapped: bool) -> int:
        """Sessions that fit into a budget, by their measured cost."""
        cost = self.results.data["costs"]["mapped" if mapped else "shared"]
        return 1 + max(0, int((budget - cost["base"] - cost["first"]) // cost["further"]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--server", type=Path, default=ROOT / "target" / "release" / "server")
    parser.add_argument("--backbone", default="clip-vit-b16")
    parser.add_argument(
        "--weights", type=Path, default=ROOT / "assets" / "clip_encoder.int8.onnx", help="to import the backbone from"
    )
    parser.add_argument("--images", type=Path, default=ROOT / "assets" / "datasets" / "openclipart" / "test")
    parser.add_argument(
        "--work", type=Path, default=ROOT / "target" / "race", help="1.5 GB of packs and model files, kept"
    )
    parser.add_argument("--results", type=Path, default=HERE / "results.json")
    parser.add_argument("--tasks", type=int, nargs="+", default=[1, 10, 100, 1000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10, help="of each measurement")
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--width", type=int, default=4, help="adapter width at every site")
    parser.add_argument("--other-options", default="", help="race `server serve` once more, with these options")
    parser.add_argument("--tolerance", type=float, default=TOLERANCE)
    parser.add_argument("--other-tolerance", type=float, default=TOLERANCE, help="of the server with --other-options")
    parser.add_argument("--again", action="store_true", help="forget earlier results")
    parser.add_argument("--no-docs", action="store_true", help="write table and plots beside the results, not into docs")
    args = parser.parse_args()
    for key in ("server", "weights", "images", "work", "results"):
        setattr(args, key, getattr(args, key).resolve())
    # Packs and model files depend on these.
    args.work /= f"{args.backbone}-{args.width}"
    keys = ("backbone", "tasks", "seconds", "clients", "threads", "width", "other_options")
    results = Results(args.results, {key: getattr(args, key) for key in keys}, args.again)
    if args.parts != ["report"]:
        run(args, results)
    if "report" in args.parts:
        report(results.data, args.results.parent, None if args.no_docs else ROOT / "docs" / "benchmarks.md")


def run(args: argparse.Namespace, results: Results) -> None:
    results.begin()
    say("preparing packs, model files and images")
    images = prepare(args, args.work)
    starter = Starter(args, args.work, images[0])
    results.put("pack_bytes", (args.work / "packs" / name(0) / "1" / "adapter_model.safetensors").stat().st_size)
    once = {
        "costs": lambda: measure.costs(args, starter),
        "overhead": lambda: measure.overhead(starter, images),
        "sites": lambda: measure.sites_removed(args, starter),
        "fork": lambda: measure.fork(args),
    }
    # What a session costs says how many of them the servers may hold.
    wanted = {*args.parts, *(["costs"] if "servers" in args.parts else [])}
    for part in [part for part in PARTS if part in wanted]:
        if part in once and part not in results.data:
            say(part)
            results.put(part, once[part]())
            say(json.dumps(results.data[part])[:400])
        elif part == "servers":
            Servers(args, results, images).run()


if __name__ == "__main__":
    main()
