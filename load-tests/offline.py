#!/usr/bin/env python3
"""How near `server predict` comes to what the fork allows: a folder under four late-starting tasks, and under one.

    python3 load-tests/offline.py
    python3 load-tests/offline.py --images 20 --rounds 1 --models M --backbone B     a smoke run

Trains four packs whose adapters begin at two thirds of the blocks. In turns, `predict` scores --images images, all
different, under one of them and under all four. 4 t1 / t4 is how much faster the four are together than one after the other;
the FLOPs allow K W / (P + K (W - P)), which `server bench --fork` says. Start and loading are left out: they are the time
of a run over one image. Bar: median ratio of both at least 0.95. Needs the standard library only.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "packaging"))

from serving import SAMPLE  # noqa: E402
from trained import train  # noqa: E402

BAR, TASKS = 0.95, 4
QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


def write_images(folder: Path, count: int, image: bytes) -> Path:
    """Copies of an image that differ in what follows its end."""
    folder.mkdir(parents=True)
    for number in range(count):
        (folder / f"{number:05}.png").write_bytes(image + number.to_bytes(4, "big"))
    return folder


def seconds(args: argparse.Namespace, common: list[str], tasks: int, images: Path, folder: Path) -> float:
    out = folder / "scores.jsonl"
    out.unlink(missing_ok=True)
    names = ",".join(f"task{number}" for number in range(tasks))
    command = [args.server, "predict", "--task", names, "--data", str(images), "--out", str(out), "--adapters", str(folder / "packs")]
    start = time.monotonic()
    subprocess.run(command + common, check=True, **QUIET)
    spent = time.monotonic() - start
    wrong = [line for line in out.read_text().splitlines() if "error" in json.loads(line)]
    if wrong:
        sys.exit(f"not scored: {wrong[0]}")
    return spent


def ideal(args: argparse.Namespace, common: list[str]) -> float:
    """By FLOPs, for so many tasks."""
    run = subprocess.run([args.server, "bench", "--fork", "--json", "--rounds", "1", *common], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    (row,) = (row for row in map(json.loads, run.stdout.splitlines()) if row.get("tasks") == TASKS)
    return row["ideal"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", default=os.environ.get("SERVER", str(ROOT / "target/release/server")))
    parser.add_argument("--models", default="models")
    parser.add_argument("--backbone", default="clip-vit-b16")
    parser.add_argument("--image", type=Path, default=SAMPLE)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    common = ["--models", args.models, "--backbone", args.backbone]
    depth = json.loads((Path(args.models) / args.backbone / "config.json").read_text())["depth"]
    allowed = ideal(args, common)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        late = ["--method", "adapters", "--first-block", str(depth * 2 // 3), "--sigma-0", "64", "--epochs", "1", *common]
        for number in range(TASKS):
            train(args.server, f"task{number}", folder / "packs", args.image.read_bytes(), "--seed", str(number), *late)
        one = write_images(folder / "one", 1, args.image.read_bytes())
        many = write_images(folder / "many", args.images, args.image.read_bytes())
        ratios = []
        for _ in range(args.rounds):
            spent = {tasks: seconds(args, common, tasks, many, folder) - seconds(args, common, tasks, one, folder) for tasks in (1, TASKS)}
            speed_up = TASKS * spent[1] / spent[TASKS]
            ratios.append(speed_up / allowed)
            print(f"{args.images} images: one task {spent[1]:.1f} s, {TASKS} tasks {spent[TASKS]:.1f} s; {speed_up:.2f} times as fast, {allowed:.2f} by FLOPs", flush=True)
    ratio = statistics.median(ratios)
    print(f"{ratio:.3f} of what the fork allows; bar {BAR}")
    if ratio < BAR:
        sys.exit(1)


if __name__ == "__main__":
    main()
