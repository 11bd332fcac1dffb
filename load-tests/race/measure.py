"""The smaller measurements beside the servers' race."""

import http.client
import json
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy
import onnx
from bare import Bare
from kinds import Starter, bytes_request
from packs import CLASSES, Folder, name, sites
from processes import ROOT, Contender
from sessions import session

HERE = Path(__file__).resolve().parent
# How a session's weights are kept, and the options of costs.py that say so.
COSTS = {
    "shared": [],
    "mapped": ["--mapped"],
    "own": ["--file", "own"],
    "own, cold": ["--file", "own", "--cold"],
}
# Sites that are left, the last ones: pruning empties early sites first.
LEFT = (24, 18, 12, 6, 0)
# Width of the adapters whose removal is timed: the backbone's over this, as in the first cycle of training.
SIGMA = 8


def make_resident(server: Contender, tasks: int) -> None:
    """Has the server read every pack, so that its memory is that of all tasks."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    for index in range(tasks):
        connection.request("POST", f"/v1/tasks/{name(index)}/reload")
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            sys.exit(f"reload of {name(index)}: {answer.status} {text!r}")
    connection.close()


def costs(args, starter: Starter) -> dict:
    """What a session costs, by how its weights are kept."""
    size = json.loads((starter.backbone() / "config.json").read_text())["image_size"]
    found = {}
    for kind, options in COSTS.items():
        command = [sys.executable, HERE / "costs.py", "--models", args.work / "onnx", "--threads", args.threads]
        command += ["--size", size, *options]
        done = subprocess.run(list(map(str, command)), check=True, stdout=subprocess.PIPE, text=True)
        found[kind] = json.loads(done.stdout.splitlines()[-1])
    return found


def overhead(starter: Starter, images: list[bytes], pairs: int = 60) -> dict:
    """Lone requests and runs of the bare program in turns, milliseconds: what the server adds, and where."""
    args = starter.args
    config = json.loads((starter.backbone() / "config.json").read_text())
    bare = Bare(args.work / "onnx" / f"{name(0)}.onnx", config, args.threads, spin=False)
    ready = [bare.pixels(image) for image in images]
    server = starter.server(1)
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    keys = ("server", "bare", "decode", "queue", "run", "server, processor", "bare, processor")
    times: dict[str, list[float]] = {key: [] for key in keys}
    for pair in range(pairs + 4):
        at = pair % len(images)
        before = server.processor()
        spent, inside = timed(lambda at=at: request(connection, images[at]))
        used, own = server.processor() - before, time.process_time()
        program, _ = timed(lambda at=at: bare.logits(ready[at]))
        own = time.process_time() - own
        if pair >= 4:
            row = {
                "server": spent,
                "bare": program,
                "server, processor": 1e3 * used,
                "bare, processor": 1e3 * own,
                **inside,
            }
            for key, value in row.items():
                times[key].append(value)
    server.stop()
    medians = {key: statistics.median(values) for key, values in times.items()}
    # The clock of processor time ticks every 10 ms: only the mean tells.
    medians |= {key: statistics.fmean(times[key]) for key in keys if key.endswith("processor")}
    outside = statistics.median(total - ran for total, ran in zip(times["server"], times["run"], strict=True))
    return {**medians, "added": medians["server"] - medians["bare"], "outside the run": outside, "pairs": pairs}


def timed(work) -> tuple:
    """Milliseconds of a piece of work, and its result."""
    started = time.perf_counter()
    result = work()
    return 1e3 * (time.perf_counter() - started), result


def request(connection: http.client.HTTPConnection, image: bytes) -> dict:
    """One request; what the answer's headers say it spent, milliseconds."""
    connection.request("POST", *bytes_request(name(0), image))
    answer = connection.getresponse()
    answer.read()
    spent = {part: answer.headers.get(f"x-mimi-{part}-us") for part in ("decode", "queue", "run")}
    return {part: int(value) / 1e3 for part, value in spent.items() if value}


def sites_removed(args, starter: Starter, rounds: int = 15) -> dict:
    """Milliseconds of the program with fewer and fewer adapters, in turns."""
    folder = Folder(starter.backbone(), args.work / "onnx")
    width, every = folder.config["width"], sites(folder.config)
    draw = numpy.random.default_rng(0)
    normal = lambda *shape: draw.standard_normal(shape, numpy.float32) * numpy.float32(0.05)
    tensors = {"head.weight": normal(CLASSES, width), "head.bias": normal(CLASSES)}
    for site in every:
        tensors[f"{site}.adapter.down.weight"] = normal(width // SIGMA, width)
        tensors[f"{site}.adapter.up.weight"] = normal(width, width // SIGMA)
    programs = {}
    for left in [count for count in LEFT if count <= len(every)]:
        path = args.work / "onnx" / f"sites-{left}.onnx"
        onnx.save(folder.fold(tensors, set(every[len(every) - left :])), path)
        programs[left] = session(str(path), args.threads, spin=False)
    image = numpy.zeros((1, 3, folder.config["image_size"], folder.config["image_size"]), numpy.float32)
    times: dict[int, list[float]] = {left: [] for left in programs}
    for turn in range(rounds + 2):
        for left, made in programs.items():
            spent, _ = timed(lambda made=made: made.run(None, {"pixels": image}))
            if turn >= 2:
                times[left].append(spent)
    return {"width": width // SIGMA, "milliseconds": {str(left): statistics.median(t) for left, t in times.items()}}


def fork(args) -> dict:
    """`server bench --fork`, read."""
    command = [args.server, "bench", "--fork", "--models", args.work / "models", "--backbone", args.backbone]
    command += ["--threads", args.threads, "--width", args.width, "--rounds", 5]
    text = subprocess.run(list(map(str, command)), cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    rows = re.findall(r"^ *(\d+) +([\d.]+) +([\d.]+) +([\d.]+) +([\d.]+) +[\d.]+$", text, re.M)
    known = re.search(r"a known image ([\d.]+) ms, an unknown one ([\d.]+) ms: [\d.]+ of it; by FLOPs ([\d.]+)", text)
    if not rows or not known:
        sys.exit(f"bench --fork printed something else:\n{text}")
    keys = ("tasks", "apart", "together", "gain", "ideal")
    table = [dict(zip(keys, map(float, row), strict=True)) for row in rows]
    return {"rows": table, "known": dict(zip(("known", "unknown", "ideal"), map(float, known.groups()), strict=True))}
