#!/usr/bin/env python3
"""Puts a bundle of `bundle.py` together on a machine without a network, and runs the check there.

    python3 join.py --store /tmp/mimi-gpu            takes the pieces that lie beside this file, some or all
    python3 join.py --store /tmp/mimi-gpu --run --python /opt/torch/bin/python3 -- --out results

Pieces may come one at a time, each beside join.py and bundle.json: what has come is kept in --store, and once all are
there, each with its SHA-256, they are unpacked and every file's SHA-256 is compared. What follows `--` goes to check.py,
as --python does. Standard library only; Python 3.9 or newer.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any, BinaryIO, Dict, List

FORMAT = 1
CHUNK = 1 << 20


def sha256(path: Path) -> str:
    """Digest of a file."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for chunk in iter(lambda: file.read(CHUNK), b""):
            digest.update(chunk)
    return digest.hexdigest()


def collect(bundle: Dict[str, Any], source: Path, store: Path) -> List[str]:
    """Takes the pieces that have come into the store; gives the names of those that have not."""
    missing = []
    for piece in bundle["pieces"]:
        kept, come = store / piece["name"], source / piece["name"]
        if kept.exists() and kept.stat().st_size == piece["bytes"] and sha256(kept) == piece["sha256"]:
            continue
        if not come.exists():
            missing.append(piece["name"])
            continue
        beside = kept.with_name(kept.name + ".partial")
        shutil.copyfile(come, beside)
        found = sha256(beside)
        if found != piece["sha256"]:
            raise SystemExit(f"{come} has sha256 {found}, {piece['sha256']} was packed: not used")
        os.replace(beside, kept)
    return missing


class Joined:
    """The pieces read as one file."""

    def __init__(self, paths: List[Path]) -> None:
        self.paths, self.file = iter(paths), None  # type: Any, Any

    def read(self, size: int) -> bytes:
        """As many bytes as there still are, up to `size`."""
        parts, wanted = [], size
        while wanted > 0:
            if self.file is None:
                path = next(self.paths, None)
                if path is None:
                    break
                self.file = open(path, "rb")
            data = self.file.read(wanted)
            if not data:
                self.file.close()
                self.file = None
            parts.append(data)
            wanted -= len(data)
        return b"".join(parts)


def unpack(bundle: Dict[str, Any], store: Path, target: Path) -> None:
    """Unpacks beside, compares every file and renames."""
    beside = target.with_name(target.name + ".partial")
    shutil.rmtree(beside, ignore_errors=True)
    listed = {file["name"]: file for file in bundle["files"]}
    with tarfile.open(fileobj=Joined([store / piece["name"] for piece in bundle["pieces"]]), mode="r|gz") as archive:
        for member in archive:
            source = archive.extractfile(member) if member.isfile() else None
            inside = not member.name.startswith("/") and ".." not in Path(member.name).parts
            if source is None or not inside or member.name not in listed:
                raise SystemExit(f"{member.name} is in the pieces, but not on bundle.json's list: not used")
            copy(source, beside / member.name, member.mode)
            found = sha256(beside / member.name)
            if found != listed.pop(member.name)["sha256"]:
                raise SystemExit(f"{member.name} has sha256 {found}, not what bundle.json says: not used")
    if listed:
        raise SystemExit(f"not in the pieces: {', '.join(listed)}")
    shutil.rmtree(target, ignore_errors=True)
    os.replace(beside, target)


def copy(source: BinaryIO, path: Path, mode: int) -> None:
    """Writes a member to its place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        shutil.copyfileobj(source, file, CHUNK)
    path.chmod(mode)


def joined(bundle: Dict[str, Any], source: Path, store: Path) -> Path:
    """The unpacked bundle, or the end where pieces are still to come."""
    target, digest = store / "unpacked", hashlib.sha256(json.dumps(bundle, sort_keys=True).encode()).hexdigest()
    stamp = store / "unpacked.sha256"
    if target.exists() and stamp.exists() and stamp.read_text() == digest:
        return target
    missing = collect(bundle, source, store)
    print(f"{len(bundle['pieces']) - len(missing)} of {len(bundle['pieces'])} pieces are here", flush=True)
    if missing:
        print(f"still to come: {', '.join(missing)}")
        sys.exit(3)
    unpack(bundle, store, target)
    beside = stamp.with_name(stamp.name + ".partial")
    beside.write_text(digest)
    os.replace(beside, stamp)
    return target


def main() -> int:
    """Collects, unpacks and, when asked, runs the check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, required=True, help="where pieces are kept and unpacked")
    parser.add_argument("--pieces", type=Path, default=Path(__file__).resolve().parent, help="where they come from")
    parser.add_argument("--run", action="store_true", help="run the check")
    parser.add_argument("--python", default=sys.executable, help="the Python that holds PyTorch")
    parser.add_argument("check", nargs="*", help="options of check.py, after --")
    args = parser.parse_args()
    bundle = json.loads((args.pieces / "bundle.json").read_text(encoding="utf-8"))
    if bundle["format"] != FORMAT:
        raise SystemExit(f"bundle.json has format {bundle['format']}: expected {FORMAT}")
    args.store.mkdir(parents=True, exist_ok=True)
    root = joined(bundle, args.pieces, args.store.resolve())
    command = [args.python, str(root / "load-tests/gpu/check.py"), "--device", bundle["device"], "--python", args.python]
    command += ["--server", str(root / "bin/server"), "--tests", str(root / "bin/it"), *args.check]
    if not args.run:
        print(f"put together in {root}; the check:\n{' '.join(command)}")
        return 0
    return subprocess.run(command).returncode


if __name__ == "__main__":
    sys.exit(main())
