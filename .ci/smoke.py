"""Does what a newcomer does: `make run`, then asks every shipped task about the sample picture.

Then it runs every command block of README and docs that is tagged `sh run`, and compares what a block prints with the
`output` block behind it. It also checks the metrics' names (promtool), the API description, `server health`, and that
SIGTERM ends the server cleanly. Standard library only; Linux, since it looks for make's child in /proc.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Optional

import blocks

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = ROOT / "tests" / "images" / "sample.png"
START_SECONDS = 120


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A running `make run`."""

    def __init__(self, adapters: Path) -> None:
        self.port = free_port()
        self.env = dict(os.environ, MIMI_STATE="none", MIMI_PORT=str(self.port), MIMI_HOST="127.0.0.1", MIMI_ADAPTERS=str(adapters))
        self.make = subprocess.Popen(["make", "run"], cwd=ROOT, env=self.env)

    def ask(self, path: str, body: Optional[bytes] = None) -> bytes:
        """The body of a 200 answer; any other raises."""
        url = f"http://127.0.0.1:{self.port}{path}"
        with urllib.request.urlopen(urllib.request.Request(url, data=body), timeout=60) as answer:
            return answer.read()

    def wait_until_ready(self) -> None:
        """Returns at the first 200 of /readyz."""
        start = time.monotonic()
        while time.monotonic() - start < START_SECONDS:
            if self.make.poll() is not None:
                sys.exit(f"make run ended with {self.make.returncode} before it was ready")
            try:
                self.ask("/readyz")
                return
            except OSError:
                time.sleep(0.2)
        sys.exit(f"not ready after {START_SECONDS} s")

    def pid(self) -> int:
        """The process that make's recipe became."""
        children = Path(f"/proc/{self.make.pid}/task/{self.make.pid}/children").read_text().split()
        return int(children[0])

    def stop(self) -> int:
        """Ends the server by SIGTERM; the status is make's, 0 only if the server's was."""
        os.kill(self.pid(), signal.SIGTERM)
        return self.make.wait(timeout=90)


def classify(server: Server) -> int:
    """Asks every task that lies in adapters/; gives how many."""
    shipped = {path.name for path in (ROOT / "adapters").iterdir() if path.is_dir() and path.name != "__pycache__"}
    listed = {task["task"] for task in json.loads(server.ask("/v1/tasks?limit=1000"))["tasks"]}
    if not shipped <= listed:
        sys.exit(f"in adapters/ but not served: {sorted(shipped - listed)}")
    image = SAMPLE.read_bytes()
    for task in sorted(shipped):
        answer = json.loads(server.ask(f"/v1/tasks/{task}/classify?top_k=3", image))
        print(f"{task}: {answer['predictions']}")
        if len(answer["predictions"]) != 3:
            sys.exit(f"{task} gave {len(answer['predictions'])} predictions where 3 were asked")
    return len(shipped)


def check_metrics(text: bytes) -> None:
    """Has promtool look at names, labels and help."""
    unpacked = ROOT / "vendor/tools/usr/bin/promtool"
    promtool = str(unpacked) if unpacked.exists() else shutil.which("promtool")
    if promtool is None:
        if os.environ.get("REQUIRE_ASSETS") == "1":
            sys.exit("promtool is missing: make tools")
        print("*** promtool is missing: metrics SKIPPED ***")
        return
    done = subprocess.run([promtool, "check", "metrics"], input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        sys.exit(f"promtool check metrics: {done.stdout.decode()}")


def main() -> None:
    """Runs the checks in the order a newcomer would meet them."""
    with tempfile.TemporaryDirectory() as folder:
        check(blocks.Workplace(ROOT, Path(folder)))


def check(place: blocks.Workplace) -> None:
    """Starts the server over a copy of the packs, asks, runs the docs' blocks, and ends it."""
    server = Server(place.adapters)
    try:
        server.wait_until_ready()
        tasks = classify(server)
        check_metrics(server.ask("/metrics"))
        json.loads(server.ask("/api-doc/openapi.json"))
        binary = os.environ.get("SERVER", ROOT / "target/release/server")
        subprocess.run([binary, "health"], env=server.env, check=True)
        ran = place.run_all(server.port, Path(binary))
        status = server.stop()
    finally:
        if server.make.poll() is None:
            server.stop()
    if status != 0:
        sys.exit(f"make run ended with {status} after SIGTERM")
    print(f"smoke: {tasks} tasks answered, {ran} blocks of the docs run; metrics, API, health and SIGTERM are right")


if __name__ == "__main__":
    main()
