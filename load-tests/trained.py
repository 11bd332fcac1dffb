"""Packs of two classes, so that a measurement needs nothing but a backbone: what a row costs does not depend on what was learned."""

import subprocess
import sys
from pathlib import Path


def two_classes(data: Path, image: bytes) -> Path:
    """Copies of an image that differ in what follows its end, in a folder a class; made once."""
    for name in ("a", "b"):
        (data / name).mkdir(parents=True, exist_ok=True)
        for number in range(4):
            (data / name / f"{number}.png").write_bytes(image + name.encode() + bytes([number]))
    return data


def train(server: str, task: str, packs: Path, image: bytes, *options: str) -> None:
    """Trains a pack of a task into a folder of packs; `options` are train-task's."""
    data = two_classes(packs / ".data", image)
    command = [server, "train-task", "--task", task, "--data", str(data), "--adapters", str(packs)]
    command += ["--checkpoints", str(packs / ".checkpoints"), *options]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"training {task} failed: {done.stderr[-500:]}")
