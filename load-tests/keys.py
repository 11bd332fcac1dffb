#!/usr/bin/env python3
"""Changes keys and quotas under load, and looks for an answer under a key that was revoked more than a second before.

    python3 load-tests/keys.py                       1,000 changes, about two minutes
    python3 load-tests/keys.py --changes 50

Each change writes the whole file of tenants beside and renames it: one key is revoked, one is new, one tenant's quota is
another. Clients keep their connections open and use any key that they ever got. An answer other than 401 counts as late
when it arrives more than a second after the rename that revoked its key. A new key must be let in within a second too.
Needs the server's binary only: the backbone is the test fixture `vit_timm`.
"""

import argparse
import hashlib
import http.client
import os
import random
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "packaging"))
sys.path.insert(0, str(ROOT / "load-tests"))

from folder import IMAGE, Packs, import_backbone  # noqa: E402
from serving import Server, free_port  # noqa: E402

CLIENTS = 4
TENANTS = 50
LATE = 1.0


class Keys:
    """Every key that there was, with when it came and when it was revoked."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.keys: list[dict] = []
        self.rates = {tenant: 1000 for tenant in range(TENANTS)}

    def add(self) -> None:
        name = f"k{len(self.keys):05}"
        secret = f"mimi_{name}_{secrets.token_urlsafe(32)}"
        key = {"id": name, "secret": secret, "tenant": random.randrange(TENANTS), "from": None, "to": None}
        with self.lock:
            self.keys.append(key)

    def live(self) -> list[dict]:
        return [key for key in self.keys if key["to"] is None]

    def text(self) -> str:
        lines = ["version = 1"]
        for tenant, rate in self.rates.items():
            lines += [f"[tenants.t{tenant}]", 'tasks = ["t0"]' if tenant == 0 else 'uses = ["t0"]']
            lines += [f"quota = {{ requests_per_second = {rate} }}"]
        for key in self.live():
            digest = hashlib.sha256(key["secret"].encode()).hexdigest()
            lines += [f"[tenants.t{key['tenant']}.keys.{key['id']}]", f'sha256 = "{digest}"', 'scopes = ["infer", "read"]']
        return "\n".join(lines) + "\n"

    def write(self, path: Path, revoked: dict | None) -> None:
        beside = path.with_suffix(".new")
        beside.write_text(self.text())
        os.replace(beside, path)
        now = time.monotonic()
        for key in self.keys:
            key["from"] = key["from"] or now
        if revoked:
            revoked["to"] = now


def client(port: int, keys: Keys, end: threading.Event, found: dict) -> None:
    while not end.is_set():
        try:
            ask(port, keys, end, found)
        except (OSError, http.client.HTTPException) as error:
            # A server that refuses a key before the body has come closes the connection.
            found["broken"].append(repr(error))


def ask(port: int, keys: Keys, end: threading.Event, found: dict) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    while not end.is_set():
        with keys.lock:
            # Mostly those that changed lately.
            key = random.choice(keys.keys[-60:] if random.random() < 0.8 else keys.keys)
        if key["from"] is None:
            continue
        sent = time.monotonic()
        if random.random() < 0.5:
            connection.request("GET", "/v1/tasks", headers={"authorization": f"Bearer {key['secret']}"})
        else:
            connection.request("POST", "/v1/tasks/t0/classify", IMAGE, {"x-api-key": key["secret"]})
        answer = connection.getresponse()
        answer.read()
        came = time.monotonic()
        with keys.lock:
            found["answers"] += 1
            found[answer.status] = found.get(answer.status, 0) + 1
            revoked = key["to"]
            if answer.status != 401 and revoked is not None:
                found["longest"] = max(found["longest"], came - revoked)
                found["late"] += came - revoked > LATE
            if answer.status == 401 and revoked is None and sent - key["from"] > LATE:
                found["shut out"] += 1


def run(args: argparse.Namespace, folder: Path) -> dict:
    backbone = import_backbone(Path(args.server), folder / "models")
    version = folder / "adapters" / "t0" / "1"
    version.mkdir(parents=True)
    for name, content in Packs(backbone).files("t0", 1).items():
        (version / name).write_bytes(content)
    keys, path = Keys(), folder / "tenants.toml"
    for _ in range(100):
        keys.add()
    keys.write(path, None)
    port = free_port()
    command = [args.server, "serve", "--port", str(port), "--models", str(folder / "models"), "--backbone", "tiny"]
    command += ["--adapters", str(folder / "adapters"), "--state", "none", "--tenants", str(path), "--log", "warn"]
    found = {"answers": 0, "late": 0, "shut out": 0, "longest": 0.0, "broken": []}
    with Server(command, port, output=subprocess.DEVNULL) as server:
        server.wait_until_ready()
        end = threading.Event()
        threads = [threading.Thread(target=client, args=(port, keys, end, found)) for _ in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for _ in range(args.changes):
            time.sleep(random.uniform(0.02, 0.2))
            keys.add()
            keys.rates[random.randrange(TENANTS)] = random.choice([0.1, 10, 1000])
            revoked = random.choice(keys.live()[:-1])
            with keys.lock:
                # Revoked from here on: the text leaves it out, the rename sets the time.
                revoked["to"] = float("inf")
                keys.write(path, revoked)
        time.sleep(2)
        end.set()
        for thread in threads:
            thread.join()
        server.ask("/readyz")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", default=str(ROOT / "target" / "release" / "server"))
    parser.add_argument("--changes", type=int, default=1000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = run(args, Path(folder))
    print(f"{args.changes} changes, {found['answers']} answers: " + ", ".join(f"{n} of {s}" for s, n in found.items() if isinstance(s, int)))
    print(f"late: {found['late']}; longest after a revocation: {found['longest']:.3f} s; shut out with a live key: {found['shut out']}")
    seen = [found.get(status, 0) for status in (200, 401, 429)]
    if min(seen) == 0 or len(found["broken"]) > found.get(401, 0):
        sys.exit(f"broken: {found['broken'][:5]}; answers 200, 401, 429: {seen}, expected some of each")
    if found["late"] or found["shut out"]:
        sys.exit(1)


if __name__ == "__main__":
    main()
