"""Installs the wheel of dist/ into a new venv and unpacks its archive; has both answer a task from adapters/.

`make dist backbone` comes first. pip fetches the wheel's dependencies. Standard library only; Linux.
"""

import os
import subprocess
import sys
import tarfile
import tempfile
import venv
from pathlib import Path
from typing import Dict, List

from serving import ROOT, Server, free_port

DIST = ROOT / "dist"
MODELS = os.path.abspath(ROOT / os.environ.get("MIMI_MODELS", "models"))


def environment() -> Dict[str, str]:
    """Ours, without what would tell the server where things are."""
    return {name: value for name, value in os.environ.items() if not name.startswith("MIMI_")}


def output(command: List[str], **options) -> str:
    """What a command prints; its failure is ours."""
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment(), **options).stdout


def serve(command: List[str], cwd: Path, adapters: Path) -> None:
    """Starts, asks, stops."""
    port = free_port()
    command = [*command, "serve", "--port", str(port), "--models", MODELS, "--adapters", str(adapters), "--state", "none"]
    with Server(command, port, environment(), cwd) as server:
        server.wait_until_ready()
        print(f"{command[0]}: the sample picture is {server.classify()}")
        server.stop()


def check_refusal(binary: Path, cwd: Path) -> None:
    """Without a library the error says how to name one."""
    command = [str(binary), "serve", "--models", MODELS, "--port", "0"]
    done = subprocess.run(command, cwd=cwd, env=environment(), stderr=subprocess.PIPE, text=True, timeout=60)
    if done.returncode == 0 or "MIMI_ONNXRUNTIME" not in done.stderr or "mimi-server" not in done.stderr:
        sys.exit(f"{binary} without ONNX Runtime ended with {done.returncode}: {done.stderr}")


def check_wheel(folder: Path) -> None:
    """A new venv has both commands, and `mimi-server` finds ONNX Runtime by itself."""
    (wheel,) = DIST.glob("*.whl")
    venv.create(folder / "venv", with_pip=True)
    binaries = folder / "venv" / "bin"
    output([str(binaries / "pip"), "install", "--quiet", str(wheel)])
    versions = {output([str(binaries / name), "--version"], cwd=folder) for name in ("server", "mimi-server")}
    if len(versions) != 1:
        sys.exit(f"`server` and `mimi-server` differ: {versions}")
    check_refusal(binaries / "server", folder)
    serve([str(binaries / "mimi-server")], folder, ROOT / "adapters")


def check_archive(folder: Path) -> None:
    """The digests are right; the archive fetches its ONNX Runtime and serves its own packs."""
    output(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=DIST)
    (path,) = DIST.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        archive.extractall(folder)
    (home,) = folder.glob("mimi-server-*")
    output([sys.executable, "models/fetch.py", "runtime"], cwd=home)
    serve(["./server"], home, Path("adapters"))


def main() -> None:
    """Checks both in a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        check_wheel(Path(folder))
        check_archive(Path(folder))
    print("dist: the wheel and the archive were installed and answered")


if __name__ == "__main__":
    main()
