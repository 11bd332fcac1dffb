"""Processes: replicas, the store with the way to it, the balancer, the load generator."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Tuple

import packs
from proxy import Proxy
from table import Table

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "packaging"))

from serving import free_port  # noqa: E402

HERE = Path(__file__).resolve().parent
EXAMPLE = ROOT / "deploy" / "balancers" / "haproxy.cfg"
IMAGE = ROOT / "tests" / "fixtures" / "images" / "rgb.png"
PATIENCE = 120.0
# Of the requests that a load means, at least this share is sent and answered.
WHOLE = 0.999


@dataclass
class Place:
    """Where everything is, for all parts."""

    server: Path
    python: Path
    k6: Path
    folder: Path
    models: Path
    count: int = 0

    def new(self, name: str) -> Path:
        """A folder that there was not."""
        self.count += 1
        made = self.folder / f"{self.count}-{name}"
        made.mkdir()
        return made


def environment(endpoint: int) -> Dict[str, str]:
    """What a program of ours needs to reach the store."""
    return dict(os.environ, AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test", AWS_REGION="us-east-1",
                AWS_ENDPOINT=f"http://127.0.0.1:{endpoint}", AWS_ALLOW_HTTP="true", MIMI_PACKS=f"s3://{packs.BUCKET}/{packs.PREFIX}")


class Store:
    """moto, and the way to it."""

    def __init__(self, place: Place, tasks: int, classes: int = 10, *more: str) -> None:
        port, started = free_port(), time.monotonic()
        command = [place.python, HERE / "store.py", port, place.models / "tiny", tasks, classes, *more]
        # One moto in one process takes a core at most; what it may hold is the machine's.
        self.process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True, stderr=subprocess.DEVNULL)
        told = self.process.stdout.readline().split()
        if told[:1] != ["serving"]:
            self.__exit__()
            sys.exit("the store did not start: is moto[server] in the Python given by --python?")
        self.bytes, self.took = int(told[1]), time.monotonic() - started
        self.direct = port
        self.proxy = Proxy(free_port(), port)
        self.environment = environment(self.proxy.port)

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()


def exchange(port: int, method: str, path: str, body: Optional[bytes] = None) -> Tuple[int, bytes, Dict[str, str]]:
    """One request on a connection of its own. Status 0: none was answered."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, body, {"content-type": "application/octet-stream"} if body else {})
        answer = connection.getresponse()
        return answer.status, answer.read(), {key.lower(): value for key, value in answer.getheaders()}
    except (OSError, http.client.HTTPException) as error:
        return 0, repr(error).encode(), {}
    finally:
        connection.close()


@dataclass
class Replica:
    """A server on one core."""

    place: Place
    store: Store
    number: int
    folder: Path
    options: List[str] = field(default_factory=list)
    process: Optional[subprocess.Popen] = None
    port: int = field(default_factory=free_port)

    def start(self) -> float:
        """Starts it; gives the seconds until it was ready."""
        command = [self.place.server, "serve", "--port", self.port, "--models", self.place.models, "--backbone", "tiny",
                   "--state", "none", "--pack-cache", self.folder / f"cache-{self.number}", "--log", "warn", "--workers", "1",
                   "--threads", "1", *self.options]
        log = (self.folder / f"replica-{self.number}.log").open("ab")
        started = time.monotonic()
        core = self.number % (os.cpu_count() or 1)
        self.process = subprocess.Popen(["taskset", "-c", str(core), *map(str, command)], cwd=ROOT, stdout=log, stderr=log,
                                        env=self.store.environment)
        while exchange(self.port, "GET", "/readyz")[0] != 200:
            if self.process.poll() is not None or time.monotonic() > started + PATIENCE:
                sys.exit(f"replica {self.number} did not become ready: {self.told()}")
            time.sleep(0.01)
        return time.monotonic() - started

    def told(self) -> str:
        return (self.folder / f"replica-{self.number}.log").read_text()[-2000:]

    def kill(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def end(self) -> int:
        """SIGTERM; gives the status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(90)

    def classify(self, number: int) -> Tuple[int, int, str]:
        """Status, version and pack of an answer."""
        status, _, headers = exchange(self.port, "POST", f"/v1/tasks/{packs.name(number)}/classify", IMAGE.read_bytes())
        return status, int(headers.get("x-mimi-version", 0)), headers.get("x-mimi-pack", "")

    def metric(self, series: str) -> float:
        """The sum of a family's lines."""
        text = exchange(self.port, "GET", "/metrics")[1].decode()
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if re.match(rf"{series}(\{{| )", line))

    def cpu(self) -> float:
        """Processor time used, seconds."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Fleet:
    """Four replicas behind a balancer."""

    def __init__(self, place: Place, store: Store, name: str, *options: str, balance: str = "") -> None:
        self.place, self.store, self.folder = place, store, place.new(name)
        self.replicas = [Replica(place, store, number, self.folder, list(options)) for number in range(4)]
        self.port, self.stats = free_port(), self.folder / "haproxy.sock"
        self.balancer: Optional[subprocess.Popen] = None
        self.config = self.folder / "haproxy.cfg"
        self.config.write_text(self.configured(balance))

    def configured(self, balance: str) -> str:
        """The example with these ports. `balance` takes the place of hashing, or of the factor alone."""
        text = EXAMPLE.read_text()
        for replica, old in zip(self.replicas, range(8080, 8084)):
            text = text.replace(f"127.0.0.1:{old} ", f"127.0.0.1:@{replica.port} ")
        text = text.replace("127.0.0.1:8000", f"127.0.0.1:{self.port}").replace(":@", ":")
        text = text.replace("global\n", f"global\n    stats socket {self.stats} level admin\n", 1)
        if balance.isdigit():
            return re.sub(r"hash-balance-factor \d+", f"hash-balance-factor {balance}", text)
        if balance:
            text = re.sub(r"    balance hash.*\n    hash-type.*\n", f"    balance {balance}\n", text)
            text = re.sub(r"    hash-balance-factor.*\n", "", text)
        return text

    def __enter__(self) -> "Fleet":
        try:
            self.start()
        except BaseException:
            # Whoever begins a `with` that fails is not asked to end it.
            self.__exit__()
            raise
        return self

    def start(self) -> None:
        for replica in self.replicas:
            replica.start()
        log = (self.folder / "haproxy.log").open("ab")
        self.balancer = subprocess.Popen(["haproxy", "-db", "-f", str(self.config)], stdout=log, stderr=log)
        until = time.monotonic() + 30
        while exchange(self.port, "GET", "/readyz")[0] != 200:
            if time.monotonic() > until:
                sys.exit(f"the balancer does not answer: {(self.folder / 'haproxy.log').read_text()[-2000:]}")
            time.sleep(0.1)

    def __exit__(self, *_: object) -> None:
        if self.balancer:
            self.balancer.kill()
            self.balancer.wait()
        for replica in self.replicas:
            replica.kill()

    def loads(self) -> float:
        """Packs read into memory, by those that run."""
        running = [one for one in self.replicas if one.process.poll() is None]
        return sum(replica.metric("mimi_pack_loads_total") for replica in running)


@dataclass
class Answer:
    """What the load generator saw of one request; times are seconds of the clock on the wall."""

    begun: float
    ended: float
    task: int
    status: int
    version: int
    pack: str
    label: str
    told: str


class Load:
    """k6 at work."""

    def __init__(self, fleet: Fleet, tasks: int, rate: int, seconds: int, *, warm: bool = False) -> None:
        place = fleet.place
        self.folder, self.expected = place.new("k6"), rate * seconds
        env = dict(os.environ, K6_NO_USAGE_REPORT="true", TASKS=str(tasks), RATE=str(rate), SECONDS=str(seconds), IMAGE=str(IMAGE),
                   URL=f"http://127.0.0.1:{fleet.port}", WARM="1" if warm else "0")
        self.summary = self.folder / "summary.json"
        command = [place.k6, "run", "--quiet", "--no-color", "--console-output", self.folder / "answers.log", "--summary-export",
                   self.summary, HERE / "load.js"]
        self.process = subprocess.Popen(list(map(str, command)), env=env, stdout=subprocess.DEVNULL,
                                        stderr=(self.folder / "k6.log").open("wb"))

    def __enter__(self) -> "Load":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    def wait(self) -> List[Answer]:
        """Waits for its end; gives every answer."""
        with self:
            status = self.process.wait()
        if status != 0:
            sys.exit(f"k6 ended with {self.process.returncode}: {(self.folder / 'k6.log').read_text()[-2000:]}")
        return list(self.answers())

    def answers(self) -> Iterator[Answer]:
        pattern = re.compile(r"ANSWER (\d+) (\d+) (\d+) (\d+) (\d+) (\S+) ([^\s\"]+) ?(.*)")
        with (self.folder / "answers.log").open() as lines:
            for line in lines:
                if found := pattern.search(line):
                    begun, ended, *numbers = map(int, found.groups()[:5])
                    yield Answer(begun / 1000, ended / 1000, *numbers, *found.groups()[5:])

    def dropped(self) -> int:
        """Requests that k6 could not send in time."""
        metrics = json.loads(self.summary.read_text())["metrics"]
        return int(metrics.get("dropped_iterations", {}).get("count", 0))

    def tell(self, table: Table, part: str, answers: List[Answer]) -> None:
        """That the load was what it was meant to be: else few failures would say little."""
        table.at_least(f"{part}: answers", len(answers), WHOLE * self.expected)
        table.at_most(f"{part}: requests that k6 could not send in time", self.dropped(), (1 - WHOLE) * self.expected)
