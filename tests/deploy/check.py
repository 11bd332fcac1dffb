"""Checks what lies in deploy/: rules by promtool, then every expression on a Prometheus that scrapes a server under load.

An expression without a result, or with nothing but NaN, fails: it asks for a series that there is not. Of an alert the
part before its comparison is asked. Standard library only; Linux.
"""

import concurrent.futures
import json
import math
import os
import re
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Iterator, List, Tuple

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "packaging"))

from serving import SAMPLE, Server, free_port  # noqa: E402

DEPLOY = ROOT / "deploy"
RULES = [DEPLOY / "prometheus" / name for name in ("rules.yml", "alerts.yml")]
TOOLS = ROOT / "vendor" / "tools" / "usr" / "bin"
# Prometheus' first version whose expressions and unit tests these files are written for.
LEAST = (2, 42)
# Alerts that may come up on a slow machine: the load asks faster than it answers.
OF_SPEED = {"MimiSlow", "MimiBacklog"}
# Most seconds until every expression has a result under load; a quick machine takes ten.
PATIENCE = 90


def tool(name: str) -> str:
    """The unpacked tool."""
    path = TOOLS / name
    if not path.exists():
        sys.exit(f"{path} is missing: make tools")
    return str(path)


def static() -> None:
    """What promtool says of rules and configuration without a server."""
    promtool = tool("promtool")
    told = subprocess.run([promtool, "--version"], check=True, stdout=subprocess.PIPE, text=True).stdout
    found = tuple(int(part) for part in re.search(r"version (\d+)\.(\d+)", told).groups())
    print(f"promtool {'.'.join(map(str, found))}")
    if found < LEAST:
        sys.exit(f"promtool {found} is older than {LEAST}")
    for arguments in (
        ["check", "rules", *map(str, RULES)],
        ["check", "config", str(DEPLOY / "prometheus" / "prometheus.yml")],
        ["test", "rules", "tests.yml"],
    ):
        done = subprocess.run([promtool, *arguments], cwd=DEPLOY / "prometheus", stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            sys.exit(f"promtool {' '.join(arguments)}:\n{done.stdout}")
    alerts = set(re.findall(r"- alert: (\w+)", RULES[1].read_text()))
    parts = (DEPLOY / "prometheus" / "tests.yml").read_text().split("- eval_time:")[1:]
    for kind, sign in (("fires", "- exp_labels:"), ("is silent", "exp_alerts: []")):
        tested = {re.search(r"alertname: (\w+)", part).group(1) for part in parts if sign in part}
        if alerts != tested:
            sys.exit(f"alerts and the tests in which one {kind} differ: {sorted(alerts ^ tested)}")


def panels() -> Iterator[Tuple[str, str]]:
    """Each expression of the dashboard with its panel, variables filled in."""
    dashboard = json.loads((DEPLOY / "grafana" / "mimi.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            text = target["expr"].replace("$job", ".*").replace("$instance", ".*")
            yield f"panel {panel['title']}", text.replace("$__rate_interval", "1m")


def asked(rule: dict) -> str:
    """What a rule asks for; of an alert without its comparison, which nothing fulfils while all is well."""
    if rule["type"] == "recording":
        return rule["query"]
    parts = re.split(r" (?:>|<|==|>=|<=) -?[\d.]+(?: \* \d+)?$", rule["query"])
    if len(parts) != 2:
        sys.exit(f"{rule['name']}: {rule['query']} does not end with a comparison with a number")
    return parts[0]


class Prometheus:
    """A Prometheus that scrapes one server each second."""

    def __init__(self, folder: Path, target: int) -> None:
        self.port = free_port()
        config = (DEPLOY / "prometheus" / "prometheus.yml").read_text()
        config = config.replace("15s", "1s").replace("127.0.0.1:8080", f"127.0.0.1:{target}")
        (folder / "prometheus.yml").write_text(config)
        for rules in RULES:
            (folder / rules.name).write_text(rules.read_text())
        self.log = (folder / "prometheus.log").open("w+")
        self.process = subprocess.Popen(
            [tool("prometheus"), f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}",
             f"--web.listen-address=127.0.0.1:{self.port}"], stdout=self.log, stderr=self.log)

    def ask(self, path: str, **query: str) -> dict:
        """The data of an answer."""
        url = f"http://127.0.0.1:{self.port}{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=30) as answer:
            return json.loads(answer.read())["data"]

    def wait_until_ready(self) -> None:
        """Returns once it answers."""
        for _ in range(150):
            try:
                self.ask("/api/v1/rules")
                return
            except OSError:
                if self.process.poll() is not None:
                    break
                time.sleep(0.1)
        self.log.seek(0)
        sys.exit(f"Prometheus does not answer:\n{self.log.read()}")

    def has(self, expression: str) -> bool:
        """Whether an expression gives a number."""
        try:
            found = self.ask("/api/v1/query", query=expression)["result"]
        except urllib.error.HTTPError as error:
            sys.exit(f"{expression}: {error.read().decode()}")
        return any(not math.isnan(float(one["value"][1])) for one in found)

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=20)


def load(port: int, done: threading.Event) -> int:
    """Asks right and wrong things until that is set; gives how many were answered."""
    trust = ssl.create_default_context()
    trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
    image, answered = SAMPLE.read_bytes(), 0
    asks: List[Tuple[str, bytes]] = [
        ("/v1/tasks/openclipart/classify", image),
        ("/v1/tasks/fashion-mnist/classify", image),
        ("/v1/tasks/gone/classify", image),
        ("/v1/tasks/openclipart/classify", b"no image"),
    ]
    while not done.is_set():
        for path, body in asks:
            try:
                with urllib.request.urlopen(f"https://127.0.0.1:{port}{path}", data=body, timeout=60, context=trust):
                    answered += 1
            except urllib.error.HTTPError:
                pass
            except urllib.error.URLError as gone:
                # A task that does not exist is refused before its body was read, which may end the connection first.
                if not isinstance(gone.reason, (ssl.SSLError, ConnectionError)):
                    raise
    return answered


def certificate(folder: Path) -> List[str]:
    """Flags for TLS with a certificate made here."""
    key, cert = folder / "key.pem", folder / "cert.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-days", "365", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1",
                    "-keyout", str(key), "-out", str(cert)], check=True, stderr=subprocess.DEVNULL)
    return ["--tls-cert", str(cert), "--tls-key", str(key), "--admin-plain"]


def live(folder: Path) -> int:
    """Asks every expression; gives how many."""
    binary, port, admin = os.environ.get("SERVER", str(ROOT / "target/release/server")), free_port(), free_port()
    env = dict(os.environ, MIMI_STATE="none")
    command = [binary, "--log", "warn", "serve", "--port", str(port), "--admin-port", str(admin), *certificate(folder),
               "--usage-log", str(folder / "usage"), "--audit-log", str(folder / "audit")]
    # Health and metrics are asked at the port without TLS.
    with Server(command, admin, env, ROOT, subprocess.DEVNULL) as server:
        server.wait_until_ready()
        prometheus = Prometheus(folder, admin)
        try:
            prometheus.wait_until_ready()
            return checked(prometheus, port)
        finally:
            prometheus.end()
            server.stop()


def checked(prometheus: Prometheus, port: int) -> int:
    """Loads the server, then asks everything until it has a result."""
    done = threading.Event()
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        loads = [pool.submit(load, port, done) for _ in range(3)]
        try:
            asks = results(prometheus)
        finally:
            done.set()
        answered = sum(one.result() for one in loads)
    print(f"deploy: {answered} answers, {asks} expressions with results")
    return asks


def results(prometheus: Prometheus) -> int:
    """Asks everything while the load goes on, until it has a result; gives how many."""
    rules = [rule for group in prometheus.ask("/api/v1/rules")["groups"] for rule in group["rules"]]
    asks = [*panels(), *((f"rule {rule['name']}", asked(rule)) for rule in rules)]
    asks += [(f"record {rule['name']}", rule["name"]) for rule in rules if rule["type"] == "recording"]
    missing, until = asks, time.monotonic() + PATIENCE
    while missing and time.monotonic() < until:
        missing = [(name, ask) for name, ask in missing if not prometheus.has(ask)]
        time.sleep(0.5 if missing else 0)
    if missing:
        sys.exit("no result:\n" + "\n".join(f"{name}: {ask}" for name, ask in missing))
    alerts = prometheus.ask("/api/v1/alerts")["alerts"]
    # A pending alert only waits for its `for:`, which is longer than this check.
    found = {alert["labels"]["alertname"] for alert in alerts if alert["state"] in ("pending", "firing")} - OF_SPEED
    if found:
        sys.exit(f"alerts on a server that is well: {sorted(found)}")
    broken = [rule["name"] for rule in rules if rule["health"] == "err"]
    if broken:
        sys.exit(f"rules that cannot be evaluated: {broken}")
    return len(asks)


def main() -> None:
    static()
    with tempfile.TemporaryDirectory() as folder:
        live(Path(folder))


if __name__ == "__main__":
    main()
