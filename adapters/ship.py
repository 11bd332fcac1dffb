#!/usr/bin/env python3
"""Trains the committed packs again, and ships MiMi where it has earned its place.

    python3 adapters/ship.py                  every set
    python3 adapters/ship.py openclipart --work DIR

For each set it trains a head alone and MiMi on the training images, and both score the test images. The MiMi pack becomes
the next version if it is right on at least two images in a hundred more, if McNemar's exact test gives p < 0.05, and if
pruning removed at least one whole adapter. Otherwise the head does. A running server publishes it by itself.

Packs, scores and what shipped are kept in --work: after an interruption, what is there is not made again. Remove it to begin
again. Needs the standard library, the sets of adapters/datasets.py and a release build.
"""

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Points, and chance, that MiMi must beat the head by.
LEAST, CHANCE = 2.0, 0.05
# Identity initialisation, a rate of 3e-3 and drop path as studies/recipe chose them.
RECIPE = "--method mimi --init identity --first-block 8 --sigma-0 48 --sigma 384 --epochs 4 --learning-rate 0.003 --drop-path 0.1".split()
# What may change in an image: drawings and photographs may be flipped, garments lie as they lie.
FLIPPED, CROPPED = "--crop 0.5 --flip 0.5 --variants 4".split(), "--crop 0.7 --variants 4".split()
SETS = {
    "openclipart": (FLIPPED, [], "openclipart, twelve subjects (adapters/datasets.py openclipart)"),
    "animal-mnist": (
        FLIPPED,
        ["--per-class", "60", "--held-out-per-class", "50"],
        "animal-mnist, 60 training and 50 held-out images of each class (adapters/datasets.py animal-mnist)",
    ),
    "fashion-mnist": (CROPPED, [], "Fashion-MNIST, first 200 of each class (adapters/datasets.py fashion-mnist)"),
}


def chance(head_alone: int, mimi_alone: int) -> float:
    """McNemar's exact test, two-sided, of images that one of two packs alone is right on."""
    count = head_alone + mimi_alone
    tail = sum(math.comb(count, n) for n in range(min(head_alone, mimi_alone) + 1))
    return min(1.0, 2 * tail / 2**count)


def right(scores: Path, task: str) -> dict[str, bool]:
    """Whether the likeliest label of each image is its folder."""
    found = {}
    for line in scores.read_text().splitlines():
        said = json.loads(line)
        result = next(one for one in said["results"] if one["task"] == task)
        found[said["image"]] = result["predictions"][0]["label"] == Path(said["image"]).parent.name
    return found


def removed(pack: Path) -> int:
    """Whole adapters that pruning removed: sites without one from the first block that was trained."""
    said = json.loads((pack / "adapter_config.json").read_text())
    first = int(RECIPE[RECIPE.index("--first-block") + 1])
    return sum(int(site.split(".")[1]) >= first for site in said["leave_out"])


def earned(head: dict[str, bool], mimi: dict[str, bool], gone: int) -> tuple[bool, float, float]:
    """Whether MiMi ships, its gain in points, and p."""
    if head.keys() != mimi.keys():
        sys.exit(f"the packs scored other images: {len(head)} and {len(mimi)}, {len(head.keys() & mimi.keys())} in common")
    head_alone = sum(head[image] and not mimi[image] for image in head)
    mimi_alone = sum(mimi[image] and not head[image] for image in head)
    gain, p = 100 * (mimi_alone - head_alone) / len(head), chance(head_alone, mimi_alone)
    return gain >= LEAST and p < CHANCE and gone > 0, gain, p


def versions(task: Path) -> list[int]:
    """A task's versions, oldest first."""
    return sorted(int(folder.name) for folder in task.iterdir() if folder.name.isdecimal()) if task.exists() else []


def newest(task: Path) -> Path:
    """The folder of a task's newest version."""
    return task / str(versions(task)[-1])


def ship(pack: Path, task: Path) -> Path:
    """Copies a pack beside the task's versions, and then gives it the next number. Its report stays: it shows others' pictures."""
    target = task / str(versions(task)[-1] + 1)
    beside = task / f".{target.name}.partial"
    shutil.rmtree(beside, ignore_errors=True)
    shutil.copytree(pack, beside, ignore=shutil.ignore_patterns("report.html"))
    os.rename(beside, target)
    return target


def trained(name: str, args: argparse.Namespace) -> dict[str, dict[str, bool]]:
    """What a head alone and MiMi are right on, trained and scored unless they were before."""
    change, draw, description = SETS[name]
    found = {}
    for kind, options in (("head", ["--method", "linear"]), ("mimi", RECIPE + change)):
        packs, scores = args.work / kind, args.work / f"{name}-{kind}.jsonl"
        told, data = ["--task", name, "--adapters", str(packs)], args.datasets / name
        if not versions(packs / name):
            told += ["--description", description, "--data", str(data / "train"), "--validation", str(data / "test")]
            subprocess.run([args.server, "train-task", *told, *draw, *options], check=True, cwd=ROOT)
        if not scores.exists():
            told = [*told[:4], "--data", str(data / "test"), "--out", str(scores)]
            subprocess.run([args.server, "predict", *told], check=True, cwd=ROOT)
        found[kind] = right(scores, name)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(SETS)} [all]")
    parser.add_argument("--server", default=os.environ.get("SERVER", "target/release/server"))
    parser.add_argument("--datasets", type=Path, default=ROOT / "assets" / "datasets")
    parser.add_argument("--adapters", type=Path, default=ROOT / "adapters")
    parser.add_argument("--work", type=Path, default=ROOT / "compare" / "ship")
    args = parser.parse_args()
    for folder in ("datasets", "adapters", "work"):
        setattr(args, folder, getattr(args, folder).resolve())
    for name in args.names or SETS:
        if name not in SETS:
            parser.error(f"{name!r} is none of {', '.join(SETS)}")
        shipped = args.work / f"{name}.shipped"
        if shipped.exists():
            print(shipped.read_text(), end="")
            continue
        found = trained(name, args)
        gone = removed(newest(args.work / "mimi" / name))
        ships, gain, p = earned(found["head"], found["mimi"], gone)
        pack = ship(newest(args.work / ("mimi" if ships else "head") / name), args.adapters / name)
        head, mimi = (100 * sum(found[kind].values()) / len(found[kind]) for kind in ("head", "mimi"))
        line = f"| {name} | {len(found['head'])} | {head:.2f} | {mimi:.2f} | {gain:+.2f} | {p:.3g} | {gone} | {'MiMi' if ships else 'head'}, version {pack.name} |"
        shipped.write_text(line + "\n")
        print(line)


if __name__ == "__main__":
    main()
