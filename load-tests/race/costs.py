#!/usr/bin/env python3
"""What a session costs: memory of the first and of each further one, seconds to make one. Prints JSON.

`file`: `shared` is the task's model beside one file of frozen weights for all tasks; `own` is a model file that holds
its own copy of them, which is what exporters write. `--cold` drops the file from the page cache before each load, as
is the case when the tasks' files are together larger than the memory.
"""

import argparse
import json
import os
import statistics
import time
from pathlib import Path

# What the server of these sessions imports, since its memory counts too.
import fastapi  # noqa: F401
import numpy
import onnx
import uvicorn  # noqa: F401
from onnx.external_data_helper import load_external_data_for_model
from packs import name
from processes import pss
from sessions import session


def own_file(models: Path, task: str) -> Path:
    """A task's model with the weights inside, written once."""
    path = models / f"{task}.own"
    if not path.exists():
        model = onnx.load(models / f"{task}.onnx", load_external_data=False)
        load_external_data_for_model(model, str(models))
        onnx.save(model, path)
    return path


def forget(path: Path) -> None:
    """Drops a file from the page cache."""
    handle = os.open(path, os.O_RDONLY)
    os.fsync(handle)
    os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(handle)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--file", choices=("shared", "own"), default="shared")
    parser.add_argument("--mapped", action="store_true")
    parser.add_argument("--cold", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--size", type=int, required=True, help="side of the image, pixels")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    image = numpy.zeros((1, 3, args.size, args.size), numpy.float32)
    grown, seconds, alive = [pss(os.getpid())], [], []
    for index in range(args.rounds):
        path = own_file(args.models, name(0)) if args.file == "own" else args.models / f"{name(index % 2)}.onnx"
        if args.cold:
            forget(path)
        started = time.perf_counter()
        made = session(str(path), args.threads, args.mapped)
        seconds.append(time.perf_counter() - started)
        if index < 2:
            made.run(None, {"pixels": image})
            alive.append(made)
            grown.append(pss(os.getpid()))
    base, one, two = grown[:3]
    load = statistics.median(seconds[1:])
    print(json.dumps({"base": base, "first": one - base, "further": two - one, "load": load, "loads": seconds}))


if __name__ == "__main__":
    main()
