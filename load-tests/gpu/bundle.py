#!/usr/bin/env python3
"""Packs what `check.py` needs into pieces that reach a machine without a network, e.g. one with a GPU.

    make gpu-bundle                                  gpu-bundle/: ONNX Runtime for CUDA, the server, the tests
    make gpu-bundle DEVICE=cpu

Writes `NAME-00.piece` and so on, none larger than --piece-mib, `bundle.json` with the SHA-256 of every piece and of every
file, and `join.py`, which puts them together there with nothing but Python. CUDA itself is not packed: it comes with
PyTorch there. Standard library only.
"""

import argparse
import gzip
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Dict, Iterator, List, Tuple

from check import ROOT, test_binary
from record import sha256, write

ORT = "libonnxruntime.so.1.31.1"
PROVIDERS = ["libonnxruntime_providers_shared.so", "libonnxruntime_providers_cuda.so"]
NAME = "mimi-gpu"
# The container's own form; `join.py` takes no other.
FORMAT = 1


class Pieces(io.RawIOBase):
    """A file to write to that is cut into pieces."""

    def __init__(self, folder: Path, size: int) -> None:
        self.folder, self.size, self.written = folder, size, 0
        self.pieces: List[Dict[str, object]] = []
        self.file, self.digest = None, hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, data) -> int:
        """Writes all of `data`, into a further piece where the present one is full."""
        rest = memoryview(data)
        while len(rest) > 0:
            if self.file is None:
                self.begin()
            part = rest[: self.size - self.written]
            self.file.write(part)
            self.digest.update(part)
            self.written += len(part)
            rest = rest[len(part) :]
            if self.written == self.size:
                self.end()
        return len(data)

    def begin(self) -> None:
        """Opens the next piece."""
        name = f"{NAME}-{len(self.pieces):02}.piece"
        self.file, self.digest, self.written = open(self.folder / name, "wb"), hashlib.sha256(), 0
        self.pieces.append({"name": name})

    def end(self) -> None:
        """Closes the present piece, if there is one."""
        if self.file is not None:
            self.file.close()
            self.pieces[-1].update({"bytes": self.written, "sha256": self.digest.hexdigest()})
            self.file = None


def runtime(library: Path, gpu: bool) -> Iterator[Tuple[Path, str]]:
    """ONNX Runtime's files and their names in the bundle: the library finds its providers beside itself."""
    folder = "vendor/onnxruntime-gpu" if gpu else "vendor/onnxruntime"
    yield library, f"{folder}/{ORT}"
    yield library.with_name("LICENSE"), f"{folder}/LICENSE"
    for name in PROVIDERS if gpu else []:
        yield library.with_name(name), f"{folder}/{name}"


def scripts() -> Iterator[Tuple[Path, str]]:
    """The check's own files, and what the tests read."""
    for folder, pattern in (("load-tests/gpu", "*.py"), ("tests/fixtures", "*.safetensors")):
        for path in sorted((ROOT / folder).glob(pattern)):
            yield path, f"{folder}/{path.name}"


def stripped(binary: Path, folder: Path) -> Path:
    """A copy of a binary without what only debuggers read, where `strip` is at hand."""
    copy = folder / binary.name
    shutil.copy2(binary, copy)
    if shutil.which("strip"):
        subprocess.run(["strip", "--strip-debug", copy], check=True)
    return copy


def pack(files: List[Tuple[Path, str]], out: Path, size: int) -> Dict[str, object]:
    """Writes the pieces; gives what `bundle.json` says."""
    pieces, listed = Pieces(out, size), []
    # What is largest, the code for GPUs, is compressed already: a higher level takes longer and gains nothing.
    with gzip.GzipFile(filename="", fileobj=pieces, mode="wb", compresslevel=4, mtime=0) as packed:
        with tarfile.open(fileobj=packed, mode="w|") as archive:
            for path, name in files:
                archive.add(path.resolve(), name, filter=plain)
                listed.append({"name": name, "bytes": path.stat().st_size, "sha256": sha256(path)})
    pieces.end()
    return {"format": FORMAT, "pieces": pieces.pieces, "files": listed}


def plain(info: tarfile.TarInfo) -> tarfile.TarInfo:
    """A member without anything of this machine's."""
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    info.mtime = 0
    info.mode = 0o755 if info.mode & 0o100 else 0o644
    return info


def main() -> int:
    """Packs into a folder beside and renames it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda")
    parser.add_argument("--onnxruntime", type=Path, required=True, help=f"{ORT}, its providers beside it")
    parser.add_argument("--server", type=Path, default=ROOT / "target" / "release" / "server")
    parser.add_argument("--tests", type=Path, help="the integration tests' executable; built where it is not named")
    parser.add_argument("--piece-mib", type=float, default=60.0, help="most MiB in a piece")
    parser.add_argument("--out", type=Path, default=ROOT / "gpu-bundle")
    args = parser.parse_args()
    if args.piece_mib * (1 << 20) < 1:
        parser.error(f"--piece-mib is {args.piece_mib}: expected more")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".gpu-bundle-", dir=args.out.parent) as temporary:
        beside, binaries = Path(temporary) / "bundle", Path(temporary) / "binaries"
        beside.mkdir()
        binaries.mkdir()
        files = list(runtime(args.onnxruntime, args.device == "cuda"))
        files.append((stripped(args.server, binaries), "bin/server"))
        files.append((stripped(args.tests or test_binary(), binaries), "bin/it"))
        bundle = {"device": args.device, **pack(files + list(scripts()), beside, int(args.piece_mib * (1 << 20)))}
        write(beside / "bundle.json", json.dumps(bundle, indent=1) + "\n")
        shutil.copy2(Path(__file__).with_name("join.py"), beside / "join.py")
        shutil.rmtree(args.out, ignore_errors=True)
        os.replace(beside, args.out)
    for piece in bundle["pieces"]:
        print(f"{args.out / piece['name']}  {piece['bytes'] / (1 << 20):.1f} MiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
