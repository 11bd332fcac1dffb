"""Parses the balancers' examples in deploy/balancers and asks through them, before four servers that only say who they are.

HAProxy and nginx of Debian run as the files have it, on other ports. Envoy's file is only read as YAML.
"""

import collections
import concurrent.futures
import contextlib
import http.client
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Dict, List, Tuple

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "packaging"))

import h2  # noqa: E402
from serving import free_port  # noqa: E402

FOLDER = ROOT / "deploy" / "balancers"
TASKS = [f"task-{number}" for number in range(200)]
# Ports of the examples, the balancer's last: of nginx one for gRPC beside it.
PORTS = ["8080", "8081", "8082", "8083", "8000", "8001"]


class Replica(ThreadingHTTPServer):
    """Says its number. It is busy, for a request that says so."""

    daemon_threads, request_queue_size = True, 256

    def __init__(self, number: int) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.number, self.tries, self.is_draining, self.connections = number, 0, False, []
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def handle_error(self, *_: object) -> None:
        """A balancer closes a check's connection as soon as it knows the status."""

    def get_request(self) -> Tuple[socket.socket, object]:
        connection, address = super().get_request()
        self.connections.append(connection)
        return connection, address

    def end(self) -> None:
        """Ends as a process does: with all of its connections."""
        self.shutdown()
        self.server_close()
        for connection in self.connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body leave together.
    wbufsize = -1

    def log_message(self, *_: object) -> None:
        pass

    def handle_one_request(self) -> None:
        """HTTP/2 where a connection begins so."""
        if not self.rfile.peek(3).startswith(h2.PREFACE[:3]):
            super().handle_one_request()
            return
        self.rfile.read(len(h2.PREFACE))
        self.close_connection = True
        h2.answers(self.rfile, self.connection.sendall, str(self.server.number))

    def respond(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        is_check = self.path == "/readyz"
        self.server.tries += not is_check
        time.sleep(float(self.headers.get("x-slow", 0)))
        is_busy = self.headers.get("x-busy") == str(self.server.number) or is_check and self.server.is_draining
        body = str(self.server.number).encode()
        self.send_response(int(self.headers.get("x-status", 503)) if is_busy else 200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = respond


def parse() -> None:
    """What the programs say of the files as they are."""
    for command in (["haproxy", "-c", "-f", FOLDER / "haproxy.cfg"], ["nginx", "-t", "-q", "-c", FOLDER / "nginx.conf"]):
        done = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0 or "[warn" in done.stdout.lower():
            sys.exit(f"{command[0]}:\n{done.stdout}")
    try:
        import yaml
    except ImportError:
        return
    documents = list(yaml.safe_load_all((FOLDER / "envoy-gateway.yaml").read_text()))
    names = {kind: [one["metadata"]["name"] for one in documents if one["kind"] == kind]
             for kind in ("HTTPRoute", "BackendTrafficPolicy")}
    check(set(map(tuple, names.values())) == {("mimi", "mimi-changes")}, f"Envoy Gateway's file has {names}")


def check(is_right: bool, told: str) -> None:
    if not is_right:
        sys.exit(told)


class Balancer:
    """An example before replicas."""

    def __init__(self, name: str, folder: Path, replicas: List[Replica]) -> None:
        self.name, self.port, self.calls = name, free_port(), free_port()
        ports = [replica.server_address[1] for replica in replicas] + [self.port, self.calls]
        if name == "haproxy":
            self.calls = self.port
        text = (FOLDER / {"haproxy": "haproxy.cfg", "nginx": "nginx.conf"}[name]).read_text()
        for old, new in zip(PORTS, ports):
            text = re.sub(rf"127\.0\.0\.1:{old}\b", f"127.0.0.1:@{new}", text)
        config = folder / f"{name}.conf"
        # Of four replicas, four times the mean is all that there is.
        text = text.replace("hash-balance-factor 400", "hash-balance-factor 150")
        # One thread: else a request can come before the one before it is counted out, and the bound sends it elsewhere.
        config.write_text(text.replace(":@", ":").replace("global\n", "global\n    nbthread 1\n"))
        command = {
            "haproxy": ["haproxy", "-db", "-f", str(config)],
            "nginx": ["nginx", "-c", str(config), "-p", str(folder), "-g", f"daemon off; pid {folder}/pid; error_log stderr;"],
        }[name]
        self.log = (folder / f"{name}.log").open("w+")
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log)
        self.wait()

    def wait(self) -> None:
        """Returns when it answers, by every replica."""
        until, seen = time.monotonic() + 20, set()
        while len(seen) < 4:
            if self.process.poll() is not None or time.monotonic() > until:
                sys.exit(f"{self.name} does not answer: {(self.log.seek(0), self.log.read())[1]}")
            try:
                seen.add(self.ask("/v1/classify")[1])
            except OSError:
                time.sleep(0.05)

    def ask(self, path: str, method: str = "POST", **headers: str) -> Tuple[int, str]:
        """Status and body of one request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        try:
            connection.request(method, path, b"image", named)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def home(self, task: str) -> str:
        """Who answers a task; it must answer whatever is asked about it."""
        paths = (f"/v1/tasks/{task}/classify?top_k=1", f"/v1/tasks/{task}@7/classify", f"/v2/models/{task}/infer")
        told = {self.ask(path) for path in paths}
        check(len(told) == 1 and next(iter(told))[0] == 200, f"{self.name}: {task} is answered by {told}")
        return next(iter(told))[1]

    def homes(self) -> Dict[str, str]:
        return {task: self.home(task) for task in TASKS}

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(20)


def tries(replicas: List[Replica]) -> int:
    return sum(replica.tries for replica in replicas)


def behaves(balancer: Balancer, replicas: List[Replica], homes: Dict[str, str]) -> str:
    """Asks; says how tasks spread."""
    name = balancer.name
    spread = sorted(collections.Counter(homes.values()).values())
    check(len(spread) == 4 and spread[0] >= 20, f"{name}: 200 tasks spread as {spread}")
    together = {balancer.ask(f"/v1/tasks/{task}/classify", x_mimi_affinity="tenant-7")[1] for task in TASKS[:20]}
    check(len(together) == 1, f"{name}: one affinity went to {together}")
    for status in ["503"] if name == "haproxy" else ["503", "429"]:
        for task in TASKS[:5]:
            busy = {"x_busy": homes[task], "x_status": status}
            told = balancer.ask(f"/v1/tasks/{task}/classify", **busy)
            check(told[0] == 200 and told[1] != homes[task], f"{name}: {status} is answered {told}")
    for method, path in (("PUT", "/v1/tasks/a/versions/1"), ("POST", "/v1/tasks/a/reload"), ("POST", "/v1/tasks/a/reload/"),
                         ("POST", "/v1/folder/confirm"), ("POST", "/inference.GRPCInferenceService/RepositoryModelLoad")):
        for number in range(4):
            before = tries(replicas)
            balancer.ask(path, method, x_busy=str(number))
            check(tries(replicas) == before + 1, f"{name}: {method} {path} was tried more than once")
    return f"200 tasks spread {spread[0]} to {spread[-1]}"


def calls(balancer: Balancer) -> None:
    """Calls by gRPC reach the replicas, those with one affinity the same one."""
    for method in ("ModelInfer", "RepositoryModelLoad"):
        told = {h2.call(balancer.calls, method, []) for _ in range(24)}
        check(told <= set("0123") and len(told) > 1, f"{balancer.name}: calls of {method} are answered {told}")
    together = {h2.call(balancer.calls, "ModelInfer", [("x-mimi-affinity", "tenant-7")]) for _ in range(8)}
    check(len(together) == 1, f"{balancer.name}: calls of one affinity went to {together}")


def drains(balancer: Balancer, replica: Replica, task: str) -> None:
    """A replica that says it ends still answers what it has."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        before = replica.tries
        asked = pool.submit(balancer.ask, f"/v1/tasks/{task}/classify", x_slow="2.5")
        time.sleep(0.3)
        replica.is_draining = True
        told = asked.result()
    replica.is_draining = False
    check(told == (200, str(replica.number)), f"{balancer.name}: a slow request at a replica that ends is answered {told}")
    check(replica.tries == before + 1, f"{balancer.name}: a slow request was tried {replica.tries - before} times")
    # Two checks find it ready.
    time.sleep(1.5)


def bound(balancer: Balancer) -> int:
    """How many replicas answer one task, asked 64 times at once."""
    with concurrent.futures.ThreadPoolExecutor(64) as pool:
        asks = [pool.submit(balancer.ask, "/v1/tasks/hot/classify", x_slow="0.3") for _ in range(64)]
    return len({ask.result()[1] for ask in asks})


def moves(balancer: Balancer, replicas: List[Replica], homes: Dict[str, str]) -> int:
    """Ends a replica: its tasks move and no others. Gives how many moved."""
    gone = replicas[2]
    gone.end()
    # At once, before any check: nothing was sent to the one that is gone.
    for task in [task for task, home in homes.items() if home == "2"][:5]:
        for method, path in (("PUT", "versions/1"), ("POST", "reload")):
            told = balancer.ask(f"/v1/tasks/{task}/{path}", method)
            check(told[0] == 200, f"{balancer.name}: {method} {path} without a replica is answered {told}")
    time.sleep(1.5)
    moved = {task for task, home in balancer.homes().items() if home != homes[task]}
    check(moved == {task for task, home in homes.items() if home == "2"}, f"{balancer.name}: {len(moved)} tasks moved")
    return len(moved)


def main() -> None:
    parse()
    with tempfile.TemporaryDirectory() as folder:
        for name in ("haproxy", "nginx"):
            replicas = [Replica(number) for number in range(4)]
            balancer = Balancer(name, Path(folder), replicas)
            try:
                homes = balancer.homes()
                told = behaves(balancer, replicas, homes)
                calls(balancer)
                drains(balancer, replicas[0], next(task for task, home in homes.items() if home == "0"))
                hot = bound(balancer)
                check(name != "haproxy" or hot > 1, "haproxy: a hot task stays at one replica")
                moved = moves(balancer, replicas, homes)
            finally:
                balancer.end()
                for number in (0, 1, 3):
                    replicas[number].end()
            print(f"{name}: {told}; a hot task by {hot}; {moved} moved with the one that ended")


if __name__ == "__main__":
    main()
