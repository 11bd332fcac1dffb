#!/usr/bin/env python3
"""Checks and measures a device: tests, memory, parity, throughput, training; writes results.json and table.md.

    make gpu-check                                   a GPU, at most 8 minutes
    make gpu-check DEVICE=cpu                        what of it a CPU can do, over a small backbone
    python3 load-tests/gpu/check.py --device cuda --server bin/server --tests bin/it

The backbone has random weights, made here. Each part's result is kept as soon as it is there, and a second run does what
is left; results of another build or another machine are set aside. --again repeats parts.

Ends with 0 when every part was done and none failed, with 1 when one failed, with 2 when time ran out before the end.
Standard library only; a Python that holds PyTorch gives CUDA's libraries and is compared with.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Dict, List

import cuda
import weights
from parts import Bench, Failed, Part, all_parts
from record import Record, sha256, write
from table import table

ROOT = Path(__file__).resolve().parent.parent.parent
# Below this no part is begun.
LEAST_SECONDS = 5.0
# What all others need; it is quick where it was done before, and so is done every time.
BASIS = ("machine", "backbone")


def test_binary() -> Path:
    """Builds the tests and tells where they are."""
    command = [os.environ.get("CARGO", "cargo"), "test", "--locked", "--no-run", "--test", "it"]
    done = subprocess.run([*command, "--message-format=json"], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    for line in done.stdout.splitlines():
        message = json.loads(line)
        if message.get("executable") and message["target"]["name"] == "it":
            return Path(message["executable"])
    raise SystemExit(f"{' '.join(command)} named no executable")


def run(part: Part, bench: Bench) -> Dict[str, Any]:
    """A part's result, with how long it took; what could not be run failed."""
    started = time.monotonic()
    try:
        result = part.run(bench)
    except (Failed, OSError, RuntimeError, ValueError, subprocess.SubprocessError) as failure:
        result = {"verdict": "fail", "figures": getattr(failure, "figures", None), "why": str(failure)}
    result["seconds"] = round(time.monotonic() - started, 1)
    return result


def work(bench: Bench, record: Record, parts: List[Part], seconds: float) -> List[str]:
    """Does what is left of the parts while there is time; gives the names of those there was none for."""
    ends, left = time.monotonic() + seconds, []
    for part in parts:
        remaining = ends - time.monotonic()
        if part.name in record.parts and part.name not in BASIS:
            print(f"{part.name:<22} done before", flush=True)
            continue
        if remaining < LEAST_SECONDS:
            left.append(part.name)
            continue
        bench.ends = time.monotonic() + min(part.limit, remaining)
        result = run(part, bench)
        if result["verdict"] == "fail" and result["seconds"] >= remaining:
            left.append(part.name)
            continue
        record.keep(part.name, result)
        print(f"{part.name:<22} {result['verdict']:<9} {result['seconds']:>6.1f} s  {result['why']}", flush=True)
        if part.name in BASIS and result["verdict"] == "fail":
            return [later.name for later in parts if later.name not in record.parts]
    return left


def identity(args: argparse.Namespace) -> Dict[str, str]:
    """What results belong to."""
    named = {"device": args.device, "size": args.size, "rounds": str(args.rounds)}
    if args.device.startswith("cuda"):
        try:
            named["gpu"] = cuda.gpu(args.device)["name"]
        except (OSError, RuntimeError, subprocess.SubprocessError) as failure:
            raise SystemExit(f"no GPU to check: {failure}") from failure
    return {**named, "server": sha256(args.server), "tests": sha256(args.tests)}


def environment(args: argparse.Namespace) -> Dict[str, str]:
    """What the parts' processes are told."""
    gpu = args.device.startswith("cuda")
    env = cuda.environment(args.python) if gpu else dict(os.environ)
    vendor = ROOT / "vendor" / ("onnxruntime-gpu" if gpu else "onnxruntime")
    env.setdefault("MIMI_ONNXRUNTIME", str(vendor / "libonnxruntime.so.1.31.1"))
    # Where the tests find their fixtures and the binary, on another machine than the one they were built on too.
    return dict(env, CARGO_MANIFEST_DIR=str(ROOT), CARGO_BIN_EXE_server=str(args.server), ORT_DISABLE_TELEMETRY="1")


def arguments() -> argparse.Namespace:
    """The command line, with what it leaves open."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default=os.environ.get("MIMI_DEVICE", "cuda"), help="cpu, cuda or cuda:N")
    parser.add_argument("--server", type=Path, default=ROOT / "target" / "release" / "server")
    parser.add_argument("--tests", type=Path, help="the integration tests' executable; built where it is not named")
    parser.add_argument("--python", default=sys.executable, help="the Python that holds PyTorch")
    parser.add_argument("--size", choices=weights.SIZES, help="the backbone: vit-b16 on a GPU, small on a CPU")
    parser.add_argument("--rounds", type=int, help="figures are medians over these: 20 on a GPU, 3 on a CPU")
    parser.add_argument("--seconds", type=float, default=480.0, help="time for all of it")
    parser.add_argument("--again", nargs="*", metavar="PART", help="measure these parts again, or all of them")
    parser.add_argument("--out", type=Path, help="gpu-check/DEVICE where it is not named")
    args = parser.parse_args()
    gpu = args.device.startswith("cuda")
    args.size = args.size or ("vit-b16" if gpu else "small")
    args.rounds = args.rounds or (20 if gpu else 3)
    args.tests = (args.tests or test_binary()).resolve()
    args.server, args.out = args.server.resolve(), (args.out or ROOT / "gpu-check" / args.device).resolve()
    return args


def main() -> int:
    """Does every part and writes the table."""
    args = arguments()
    args.out.mkdir(parents=True, exist_ok=True)
    record = Record(args.out / "results.json", identity(args))
    if record.set_aside:
        print(record.set_aside)
        # Another build may import otherwise.
        shutil.rmtree(args.out / "models", ignore_errors=True)
    parts = all_parts(args.device.startswith("cuda"))
    names = [part.name for part in parts]
    if unknown := sorted(set(args.again or []) - set(names)):
        raise SystemExit(f"unknown part {', '.join(unknown)}: expected {', '.join(names)}")
    for name in names if args.again == [] else args.again or []:
        record.parts.pop(name, None)
    left = work(Bench(args, environment(args)), record, parts, args.seconds)
    done = {name: record.parts[name] for name in names if name in record.parts}
    text = table(record.identity, done, left)
    write(args.out / "table.md", text)
    print(f"\n{text}\n{args.out / 'results.json'}\n{args.out / 'table.md'}")
    if any(result["verdict"] == "fail" for result in done.values()):
        return 1
    return 2 if left else 0


if __name__ == "__main__":
    sys.exit(main())
