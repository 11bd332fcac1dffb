"""The contenders: how each is started and asked."""

import base64
import json
import math
import sys
from pathlib import Path

from packs import CLASSES, name
from processes import Contender, Kind

HERE = Path(__file__).resolve().parent
SERVER, ONNX, MAPPED, TORCH, BARE = (
    "mimi-server",
    "session a task",
    "session a task, mapped",
    "PyTorch + LitServe",
    "bare program",
)
# This server once more, with the options that --other-options gives it.
OTHER = "mimi-server, other options"


def shown(who: str, options: str | None) -> str:
    """What a contender is called in tables and plots: the server's other options by name."""
    return f"mimi-server {options}" if who == OTHER else who


# What each is, for the table.
WHAT = {
    SERVER: "this server, every pack resident",
    OTHER: "this server with other options",
    ONNX: "Python ONNX Runtime behind FastAPI, one session a task loaded on demand, least recently used dropped",
    MAPPED: "the same, its sessions sharing the weights' pages (prepacking off, one weights file for all tasks)",
    TORCH: "PyTorch + timm behind LitServe, adapters switched for each task of a batch",
    BARE: "one task's program in a Python ONNX Runtime loop, pixels ready, no HTTP",
}


def bytes_request(task: str, image: bytes) -> tuple:
    return f"/v1/tasks/{task}/classify?top_k={CLASSES}", image, {"content-type": "application/octet-stream"}


def json_request(task: str, image: bytes) -> tuple:
    body = json.dumps({"task": task, "image": base64.b64encode(image).decode()})
    return "/predict", body, {"content-type": "application/json"}


def from_scores(text: bytes) -> list[float]:
    """The server tells probabilities, whose logarithms are the logits up to a shift."""
    found = sorted(json.loads(text)["predictions"], key=lambda prediction: prediction["index"])
    return [math.log(max(prediction["score"], 1e-45)) for prediction in found]


def from_logits(text: bytes) -> list[float]:
    return json.loads(text)["logits"]


# Dropped sessions give their memory back to the system at once, which is to these servers' advantage.
MALLOC = {"MALLOC_MMAP_THRESHOLD_": "1048576"}
KINDS = {
    SERVER: Kind(SERVER, bytes_request, from_scores),
    OTHER: Kind(OTHER, bytes_request, from_scores),
    ONNX: Kind(ONNX, bytes_request, from_logits, MALLOC),
    MAPPED: Kind(MAPPED, bytes_request, from_logits, MALLOC),
    TORCH: Kind(TORCH, json_request, from_logits),
}


class Starter:
    """Starts contenders for a number of tasks."""

    def __init__(self, args, work: Path, image: bytes) -> None:
        self.args, self.work, self.image = args, work, image

    def start(self, who: str, command: list) -> Contender:
        log = self.work / f"{who.replace(' ', '-')}.log"
        return Contender(KINDS[who], command, log, (name(0), self.image))

    def server(self, tasks: int, other: bool = False) -> Contender:
        """This server on a folder of exactly these tasks."""
        folder = self.work / f"packs-{tasks}"
        folder.mkdir(exist_ok=True)
        for index in range(tasks):
            link = folder / name(index)
            if not link.is_symlink():
                link.symlink_to(self.work / "packs" / name(index))
        command = [self.args.server, "serve", "--models", self.work / "models", "--backbone", self.args.backbone]
        command += ["--adapters", folder, *(["--threads", self.args.threads] if not other else [])]
        command += self.args.other_options.split() if other else []
        return self.start(OTHER if other else SERVER, command)

    def onnx(self, sessions: int, mapped: bool) -> Contender:
        command = [
            sys.executable,
            HERE / "serve_onnx.py",
            "--backbone",
            self.backbone(),
            "--models",
            self.work / "onnx",
        ]
        command += ["--sessions", sessions, "--threads", self.args.threads, *(["--mapped"] if mapped else [])]
        return self.start(MAPPED if mapped else ONNX, command)

    def torch(self, tasks: int) -> Contender:
        command = [
            sys.executable,
            HERE / "serve_torch.py",
            "--backbone",
            self.backbone(),
            "--packs",
            self.work / "packs",
        ]
        command += ["--tasks", tasks, "--threads", self.args.threads, "--batch", self.args.clients]
        return self.start(TORCH, command)

    def bare(self, seconds: float) -> list:
        command = [sys.executable, HERE / "bare.py", "--backbone", self.backbone(), "--threads", self.args.threads]
        command += ["--model", self.work / "onnx" / f"{name(0)}.onnx", "--images", self.work / "images"]
        return [*map(str, command), "--seconds", str(seconds)]

    def backbone(self) -> Path:
        return self.work / "models" / self.args.backbone
