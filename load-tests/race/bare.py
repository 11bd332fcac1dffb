#!/usr/bin/env python3
"""Contender: one task's program in a loop, one image after another, no decoding and no HTTP. Prints JSON."""

import argparse
import json
import time
from pathlib import Path

import numpy
from preprocess import pixels
from sessions import session


class Bare:
    """A task's program."""

    def __init__(self, model: Path, config: dict, threads: int, spin: bool = True) -> None:
        self.made, self.config = session(str(model), threads, spin=spin), config

    def pixels(self, image: bytes) -> numpy.ndarray:
        """`[1, 3, S, S]`."""
        return pixels(image, self.config)[None]

    def logits(self, given: numpy.ndarray) -> numpy.ndarray:
        """Logits of one image."""
        return self.made.run(["logits"], {"pixels": given})[0][0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=10)
    args = parser.parse_args()
    started = time.perf_counter()
    bare = Bare(args.model, json.loads((args.backbone / "config.json").read_text()), args.threads)
    images = [bare.pixels(path.read_bytes()) for path in sorted(args.images.iterdir())]
    bare.logits(images[0])
    first = time.perf_counter() - started
    seconds, began = [], time.perf_counter()
    while time.perf_counter() - began < args.seconds:
        before = time.perf_counter()
        bare.logits(images[len(seconds) % len(images)])
        seconds.append(time.perf_counter() - before)
    rollup = Path("/proc/self/smaps_rollup").read_text()
    pss = next(int(line.split()[1]) << 10 for line in rollup.splitlines() if line.startswith("Pss:"))
    print(json.dumps({"seconds": seconds, "took": time.perf_counter() - began, "start": first, "pss": pss}))


if __name__ == "__main__":
    main()
