"""Does what a newcomer does: `make run`, then asks every shipped task about the sample picture.

Then it runs every command block of README and docs that is tagged `sh run`, and compares what a block prints with the
`output` block behind it. It also checks the metrics' names (promtool), the API description, `server health`, and that
SIGTERM ends the server cleanly. Standard library only; Linux, since it looks for make's child in /proc.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import blocks

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "packaging"))

from serving import SAMPLE, Server, free_port  # noqa: E402


class MakeRun(Server):
    """A running `make run`, which ends with 0 only if the server does."""

    def __init__(self, adapters: Path) -> None:
        port = free_port()
        self.env = dict(os.environ, MIMI_STATE="none", MIMI_PORT=str(port), MIMI_HOST="127.0.0.1", MIMI_ADAPTERS=str(adapters))
        super().__init__(["make", "run"], port, self.env, ROOT)

    def pid(self) -> int:
        """The process that make's recipe became."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(children[0])


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
    server = MakeRun(place.adapters)
    try:
        server.wait_until_ready()
        tasks = classify(server)
        check_metrics(server.ask("/metrics"))
        json.loads(server.ask("/api-doc/openapi.json"))
        binary = os.environ.get("SERVER", ROOT / "target/release/server")
        subprocess.run([binary, "health"], env=server.env, check=True)
        ran = place.run_all(server.port, Path(binary))
    finally:
        if server.process.poll() is None:
            server.stop()
    print(f"smoke: {tasks} tasks answered, {ran} blocks of the docs run; metrics, API, health and SIGTERM are right")


if __name__ == "__main__":
    main()
