"""Contenders as processes: started, waited for, weighed, ended."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
# Longest a contender may take to its first answer, seconds.
PATIENCE = 180


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Contender:
    """A server in a process of its own, from its start to its first answer and on."""

    def __init__(self, kind: "Kind", command: list, log: Path, first: tuple[str, bytes]) -> None:
        self.kind, self.port = kind, free_port()
        started = time.perf_counter()
        with log.open("wb") as output:
            full = [*map(str, command), "--port", str(self.port)]
            self.process = subprocess.Popen(
                full, cwd=ROOT, env={**os.environ, **kind.environment}, stdout=output, stderr=output
            )
        while True:
            try:
                self.ask(*first)
                break
            except (OSError, http.client.HTTPException):
                if self.process.poll() is not None or time.perf_counter() - started > PATIENCE:
                    sys.exit(f"{kind.name} gave no answer; its log is {log}")
                time.sleep(0.02)
        self.start = time.perf_counter() - started

    def ask(self, task: str, image: bytes) -> list[float]:
        """One request on a connection of its own: logits, up to a shift of all."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            return self.kind.answer(connection, task, image)
        finally:
            connection.close()

    def pss(self) -> int:
        """Memory of the process and all it started, each shared page counted once, bytes."""
        return sum(pss(pid) for pid in family(self.process.pid))

    def processor(self) -> float:
        """Processor time that the process has used, seconds."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        """Ends the process and what it started."""
        members = family(self.process.pid)
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for pid in members[1:]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass


class Kind:
    """How a contender is asked, and how its answer is read."""

    def __init__(self, name: str, request, logits, environment: dict[str, str] | None = None) -> None:
        self.name, self.request, self.logits, self.environment = name, request, logits, environment or {}

    def answer(self, connection: http.client.HTTPConnection, task: str, image: bytes) -> list[float]:
        """Logits of one request on an open connection."""
        path, body, headers = self.request(task, image)
        connection.request("POST", path, body, headers)
        reply = connection.getresponse()
        text = reply.read()
        if reply.status != 200:
            raise http.client.HTTPException(f"{self.name}: status {reply.status}: {text[:200]!r}")
        return self.logits(text)


def family(root: int) -> list[int]:
    """A process and its descendants."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rsplit(") ", 1)[1].split()[1])
            except OSError:
                continue  # It ended meanwhile.
    found = [root]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found


def pss(pid: int) -> int:
    """Proportional set size, bytes."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0  # It ended meanwhile.
    return next((int(line.split()[1]) << 10 for line in text.splitlines() if line.startswith("Pss:")), 0)
