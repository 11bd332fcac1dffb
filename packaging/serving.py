"""A server under test: started by a command, asked over HTTP, ended by SIGTERM. Standard library only; Linux."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Dict, List, Optional

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = ROOT / "tests" / "images" / "sample.png"
START_SECONDS = 120


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """The command's process; it must be the server itself, or pass SIGTERM on. `output` takes what it prints."""

    def __init__(
        self,
        command: List[str],
        port: int,
        env: Optional[Dict[str, str]] = None,
        cwd: Optional[Path] = None,
        output: Optional[int] = None,
    ):
        self.port = port
        # Sent with every request.
        self.headers: Dict[str, str] = {}
        self.process = subprocess.Popen(command, env=env, cwd=cwd, stdout=output, stderr=output)

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def ask(self, path: str, body: Optional[bytes] = None) -> bytes:
        """The body of a 200 answer; any other raises."""
        url = f"http://127.0.0.1:{self.port}{path}"
        with urllib.request.urlopen(urllib.request.Request(url, data=body, headers=self.headers), timeout=60) as answer:
            return answer.read()

    def wait_until_ready(self) -> None:
        """Returns at the first 200 of /readyz."""
        start = time.monotonic()
        while time.monotonic() - start < START_SECONDS:
            if self.process.poll() is not None:
                sys.exit(f"{self.process.args[0]} ended with {self.process.returncode} before it was ready")
            try:
                self.ask("/readyz")
                return
            except OSError:
                time.sleep(0.1)
        sys.exit(f"not ready after {START_SECONDS} s")

    def classify(self, task: str = "openclipart") -> str:
        """The sample picture's label; it shows a strawberry."""
        answer = json.loads(self.ask(f"/v1/tasks/{task}/classify?top_k=1", SAMPLE.read_bytes()))
        label = answer["predictions"][0]["label"]
        if label != "fruit":
            sys.exit(f"{task} took the sample picture for {label!r}, not for fruit")
        return label

    def pid(self) -> int:
        """The process that takes SIGTERM."""
        return self.process.pid

    def stop(self) -> None:
        """SIGTERM, after which it must end with 0."""
        os.kill(self.pid(), signal.SIGTERM)
        status = self.process.wait(timeout=90)
        if status != 0:
            sys.exit(f"{self.process.args[0]} ended with {status} after SIGTERM")
