"""Starts the `server` binary of this package on the ONNX Runtime that pip installed beside it.

`mimi-server ARGUMENTS` and `python3 -m mimi_server ARGUMENTS` become `server ARGUMENTS` with MIMI_ONNXRUNTIME set.
A MIMI_ONNXRUNTIME that is already set stays as it is. `python3 -m mimi_server.fetch clip` fetches weights.
"""

import importlib.metadata
import importlib.util
import os
import sys
from pathlib import Path

NAME = "mimi-server"


def server() -> Path:
    """The binary, from the list of files that pip installed."""
    for file in importlib.metadata.files(NAME) or []:
        path = Path(file.locate())
        if file.name == "server" and path.is_file():
            return path.resolve()
    raise SystemExit(f"{NAME}: pip's list of installed files names no server: pip install --force-reinstall {NAME}")


def onnxruntime() -> Path:
    """The library in the package `onnxruntime` (or `onnxruntime-gpu`), found without importing the package."""
    found = importlib.util.find_spec("onnxruntime")
    for folder in (found and found.submodule_search_locations) or []:
        for library in sorted(Path(folder, "capi").glob("libonnxruntime.so.*")):
            return library
    raise SystemExit(f"{NAME}: no package onnxruntime here: pip install onnxruntime, or set MIMI_ONNXRUNTIME")


def main() -> None:
    """Becomes the server: the same process, so that signals reach it."""
    if not os.environ.get("MIMI_ONNXRUNTIME"):
        os.environ["MIMI_ONNXRUNTIME"] = str(onnxruntime())
    binary = str(server())
    os.execv(binary, [binary, *sys.argv[1:]])
