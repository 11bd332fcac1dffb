"""What was measured with, for the record."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

LIBRARIES = ("onnxruntime", "torch", "timm", "litserve", "fastapi", "uvicorn", "numpy", "pillow")


def describe() -> dict:
    """Processor, cores, memory and versions."""
    processor = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    return {
        "processor": processor,
        "cores": len(os.sched_getaffinity(0)),
        "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in LIBRARIES},
    }
