"""Finds CUDA's libraries where PyTorch, or NVIDIA's own wheels, left them, and names those that are missing."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Dict, List

# What `libonnxruntime_providers_cuda.so` 1.31.1 opens on demand, so that `ldd` does not list it.
ON_DEMAND = ["libcudnn.so.9", "libcufft.so.12"]
ADVICE = (
    "ONNX Runtime 1.31.1 needs CUDA 13, cuDNN 9 and NVIDIA's driver: name a Python that holds a PyTorch"
    " made for CUDA 13 with --python, or see docs/gpu.md"
)


def folders(python: str) -> List[Path]:
    """The `nvidia/*/lib` folders on a Python's path."""
    ask = "import json, sys; print(json.dumps(sys.path))"
    done = subprocess.run([python, "-c", ask], stdout=subprocess.PIPE, text=True, check=True, timeout=60)
    found: List[Path] = []
    for place in json.loads(done.stdout):
        found += sorted(folder for folder in Path(place).glob("nvidia/*/lib") if any(folder.glob("lib*.so*")))
    return list(dict.fromkeys(found))


def environment(python: str) -> Dict[str, str]:
    """The environment in which CUDA's libraries are found."""
    known = os.environ.get("LD_LIBRARY_PATH", "").split(":")
    places = [str(folder) for folder in folders(python)] + [place for place in known if place]
    return dict(os.environ, LD_LIBRARY_PATH=":".join(dict.fromkeys(places)))


def missing(provider: Path, env: Dict[str, str]) -> List[str]:
    """Libraries that the provider needs and the loader would not find."""
    if shutil.which("ldd") is None:
        raise RuntimeError("ldd is missing: it tells which of CUDA's libraries are")
    done = subprocess.run(["ldd", str(provider)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env)
    if done.returncode != 0:
        raise RuntimeError(f"ldd {provider}: {done.stdout.strip()}")
    absent = re.findall(r"^\s*(\S+) => not found", done.stdout, re.MULTILINE)
    return absent + [name for name in ON_DEMAND if not on_path(name, env)]


def on_path(name: str, env: Dict[str, str]) -> bool:
    """Whether the loader finds a library: by LD_LIBRARY_PATH, or among those the system knows."""
    if any((Path(place) / name).exists() for place in env["LD_LIBRARY_PATH"].split(":") if place):
        return True
    ldconfig = shutil.which("ldconfig") or "/sbin/ldconfig"
    if not Path(ldconfig).exists():
        return False
    known = subprocess.run([ldconfig, "-p"], stdout=subprocess.PIPE, text=True).stdout
    return re.search(rf"^\s*{re.escape(name)} ", known, re.MULTILINE) is not None


def gpu(device: str) -> Dict[str, str]:
    """Name, memory and driver of `cuda` or `cuda:N`."""
    if shutil.which("nvidia-smi") is None:
        raise RuntimeError("nvidia-smi is not found, which comes with NVIDIA's driver")
    query = ["name", "memory.total", "driver_version"]
    number = device.partition(":")[2] or "0"
    command = ["nvidia-smi", f"--query-gpu={','.join(query)}", "--format=csv,noheader", "--id", number]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
    if done.returncode != 0:
        raise RuntimeError(f"nvidia-smi: {done.stdout.strip()}")
    return dict(zip(query, done.stdout.splitlines()[0].split(", ")))
