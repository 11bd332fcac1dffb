#!/usr/bin/env python3
"""Does to a folder of packs what people and their tools do, and what goes wrong meanwhile, and asks for answers.

    python3 load-tests/folder.py                      1,000 tasks, five minutes of random operations and faults
    python3 load-tests/folder.py --minutes 1 --tasks 100
    python3 load-tests/folder.py --idle               10,000 idle tasks: processor, start, a new version

Operations: versions renamed into place, copied file by file in either order, by way of hidden names with times set back,
left half-copied and replaced, broken for good, wrong in their stored answers; live versions removed, touched, spoilt and
mended; tasks taken away and brought back. Faults, one after another: an empty folder in the place of the packs, most
tasks gone at once, tasks that lead nowhere, descriptors used up. Every answer tells its version, and the version tells
which class must come first. Needs the server's binary only: the backbone is the test fixture `vit_timm`.
"""

import argparse
import array
import collections
import hashlib
import http.client
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FIXTURE = ROOT / "tests" / "fixtures" / "vit_timm.safetensors"
IMAGE = (ROOT / "tests" / "fixtures" / "images" / "rgb.png").read_bytes()
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
CLASSES = 10
# A class that only versions prefer whose stored answers are wrong.
WRONG = CLASSES - 1
LOGIT = 50.0
# Longest wait for a version to be live before it counts as never.
PATIENCE = 30.0
DESCRIPTORS = 256
WORKERS = 6


def safetensors(tensors: dict) -> bytes:
    """The file format: header length, JSON header, data. Values are bytes with dtype and shape."""
    header, data = {}, b""
    for name, (dtype, shape, raw) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data


def floats(values: list) -> bytes:
    return array.array("f", values).tobytes()


def import_backbone(server: Path, models: Path) -> Path:
    """The fixture's weights as a backbone called `tiny`."""
    raw = FIXTURE.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + length])
    settings = json.loads(header["__metadata__"]["config"])
    tensors = {}
    for name, entry in header.items():
        if name.startswith("weights/"):
            begin, end = (8 + length + offset for offset in entry["data_offsets"])
            tensors[name.removeprefix("weights/")] = (entry["dtype"], entry["shape"], raw[begin:end])
    models.mkdir()
    weights = models / "weights.safetensors"
    weights.write_bytes(safetensors(tensors))
    command = [server, "import-backbone", "--weights", weights, "--name", "tiny", "--models", models]
    command += ["--preprocessing", "clip", "--heads", settings["heads"]]
    subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL, cwd=ROOT)
    return models / "tiny"


def version_files(config: dict, bias: list, stored: list, dataset: str) -> dict:
    """The two files of a head of so many classes on a backbone, with a stored answer. `dataset` sets versions apart."""
    classes, width = len(bias), config["width"]
    weights = safetensors({
        "head.weight": ("F32", [classes, width], bytes(4 * classes * width)),
        "head.bias": ("F32", [classes], floats(bias)),
        "self_test.logits": ("F32", [1, classes], floats(stored)),
        "self_test.image.0": ("U8", [len(IMAGE)], IMAGE),
    })
    manifest = {
        "format_version": 1,
        "peft_type": "MIMI",
        "base_model_name_or_path": config["name"],
        "base_model_sha256": config["fingerprint"],
        "activation": config["activation"],
        "adapter_widths": {},
        "leave_out": [f"blocks.{b}.{p}" for b in range(config["depth"]) for p in ("attn", "mlp")],
        "labels": [f"class-{c}" for c in range(classes)],
        "preprocessing": config["preprocessing"],
        "precision": "fp32",
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "self_test": {"images": 1, "tolerance": 0.001},
        "provenance": {"dataset": dataset},
    }
    return {CONFIG: json.dumps(manifest).encode(), WEIGHTS: weights}


class Packs:
    """Makes versions: a head that prefers one class whatever the image, with a stored answer."""

    def __init__(self, backbone: Path) -> None:
        self.config = json.loads((backbone / "config.json").read_text())

    @staticmethod
    def favourite(task: str, version: int) -> int:
        return (int(task[1:]) + version) % (CLASSES - 1)

    def files(self, task: str, version: int, wrong: bool = False) -> dict:
        """The two files of a version."""
        favourite = WRONG if wrong else self.favourite(task, version)
        bias = [LOGIT if c == favourite else 0.0 for c in range(CLASSES)]
        return version_files(self.config, bias, bias[::-1] if wrong else bias, f"{task} {version}")


def write(folder: Path, files: dict) -> None:
    """A whole version: written beside, then renamed."""
    beside = folder.parent / f".{folder.name}.partial"
    beside.mkdir(parents=True)
    for name, content in files.items():
        (beside / name).write_bytes(content)
    beside.rename(folder)


class Server:
    """A server on a free port, with few descriptors, over a folder of packs."""

    def __init__(self, binary: Path, models: Path, packs: Path, *options: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        command = [binary, "serve", "--port", self.port, "--models", models, "--backbone", "tiny"]
        command += ["--adapters", packs, "--log", "warn", "--state", packs.parent / "state", *options]
        limited = ["sh", "-c", f'ulimit -n {DESCRIPTORS}; exec "$@"', "sh", *map(str, command)]
        self.log = (packs.parent / "log").open("ab")
        self.started = time.monotonic()
        self.process = subprocess.Popen(limited, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=self.log)
        while self.ask("GET", "/readyz")[0] != 200:
            if self.process.poll() is not None or time.monotonic() > self.started + 120:
                sys.exit(f"the server did not become ready: {(packs.parent / 'log').read_text()[-2000:]}")
            time.sleep(0.01)
        self.ready = time.monotonic() - self.started

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(90)

    def ask(self, method: str, path: str, body: bytes | None = None) -> tuple:
        """Status and answer of one request; status 0 when there was none."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            raw = answer.read()
            return answer.status, json.loads(raw) if raw[:1] == b"{" else raw.decode()
        except (OSError, http.client.HTTPException):
            return 0, {}
        finally:
            connection.close()

    def live(self, task: str) -> int | None:
        status, answer = self.ask("GET", f"/v1/tasks/{task}")
        return answer.get("version") if status == 200 else None

    def cpu(self) -> float:
        """Processor time used, seconds."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def metric(self, series: str) -> float:
        lines = self.ask("GET", "/metrics")[1].splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(series))


class Task:
    """What should be true of a task."""

    def __init__(self, name: str) -> None:
        self.name, self.versions, self.next = name, [1], 2
        # Not there on purpose: no answer is expected.
        self.is_away = False


class Trouble:
    """Operations on a running server's folder, and what came of them."""

    def __init__(self, server: Server, packs: Packs, root: Path, tasks: int, seed: int) -> None:
        self.server, self.packs, self.root = server, packs, root
        self.tasks = [Task(f"t{i:05}") for i in range(tasks)]
        self.random = random.Random(seed)
        self.lock = threading.Lock()
        self.busy: set = set()
        self.waits: list = []
        self.counts: collections.Counter = collections.Counter()
        self.lost, self.wrong, self.never = [], [], []
        self.ending = threading.Event()

    # What a client sees.

    def asking(self, seed: int) -> None:
        """Asks for random tasks until the end."""
        chooser = random.Random(seed)
        while not self.ending.is_set():
            self.check(chooser.choice(self.tasks))

    def check(self, task: Task) -> int:
        was_away = task.is_away
        status, answer = self.server.ask("POST", f"/v1/tasks/{task.name}/classify", IMAGE)
        with self.lock:
            self.counts[f"answers {status}"] += 1
            if status == 200:
                expected = f"class-{self.packs.favourite(task.name, answer['version'])}"
                if answer["predictions"][0]["label"] != expected:
                    self.wrong.append((task.name, answer))
            elif status == 404 and not was_away and not task.is_away:
                self.lost.append((task.name, answer))
        return status

    # What people and tools do.

    def folder(self, task: Task, version: int) -> Path:
        return self.root / task.name / str(version)

    def becomes_live(self, task: Task, version: int, what: str) -> None:
        """Waits until a version that is whole from now on is live."""
        started = time.monotonic()
        while self.server.live(task.name) != version:
            if time.monotonic() > started + PATIENCE:
                with self.lock:
                    self.never.append((what, task.name, version, self.server.ask("GET", f"/v1/tasks/{task.name}")[1]))
                return
            time.sleep(0.03)
        with self.lock:
            self.waits.append((time.monotonic() - started, what))

    def take_number(self, task: Task) -> int:
        task.next += 1
        return task.next - 1

    def rename(self, task: Task) -> None:
        version = self.take_number(task)
        write(self.folder(task, version), self.packs.files(task.name, version))
        task.versions.append(version)
        self.becomes_live(task, version, "rename")

    def copy(self, task: Task) -> None:
        """`cp`, `tar`, `kubectl cp`: under the final names, in pieces."""
        version = self.take_number(task)
        files = list(self.packs.files(task.name, version).items())
        self.random.shuffle(files)
        self.folder(task, version).mkdir()
        for name, content in files:
            with (self.folder(task, version) / name).open("wb", buffering=0) as file:
                middle = self.random.randrange(len(content))
                file.write(content[:middle])
                time.sleep(self.random.uniform(0, 1.5))
                file.write(content[middle:])
            time.sleep(self.random.uniform(0, 1.0))
        task.versions.append(version)
        self.becomes_live(task, version, "copy")

    def rsync(self, task: Task) -> None:
        """Hidden names, renamed one by one; times set back to the source's."""
        version = self.take_number(task)
        files = list(self.packs.files(task.name, version).items())
        self.random.shuffle(files)
        self.folder(task, version).mkdir()
        for name, content in files:
            hidden = self.folder(task, version) / f".{name}.Xa81Qz"
            hidden.write_bytes(content)
            os.utime(hidden, (1e9, 1e9))
            time.sleep(self.random.uniform(0, 1.0))
            hidden.rename(self.folder(task, version) / name)
        task.versions.append(version)
        self.becomes_live(task, version, "rsync")

    def replace_half(self, task: Task) -> None:
        """A copy that broke off, then a whole version renamed onto its number."""
        version = self.take_number(task)
        files = self.packs.files(task.name, version)
        self.folder(task, version).mkdir()
        (self.folder(task, version) / CONFIG).write_bytes(files[CONFIG][:100])
        time.sleep(self.random.uniform(0.5, 3))
        shutil.rmtree(self.folder(task, version))
        write(self.folder(task, version), files)
        task.versions.append(version)
        self.becomes_live(task, version, "replaced half")

    def break_one(self, task: Task) -> None:
        """A version that never becomes whole."""
        version = self.take_number(task)
        files = self.packs.files(task.name, version)
        files[WEIGHTS] = files[WEIGHTS][: self.random.randrange(len(files[WEIGHTS]))]
        write(self.folder(task, version), files)
        time.sleep(self.random.uniform(0, 2))

    def wrong_one(self, task: Task) -> None:
        """A version whose stored answers are others than its own."""
        version = self.take_number(task)
        write(self.folder(task, version), self.packs.files(task.name, version, wrong=True))
        time.sleep(self.random.uniform(0, 2))

    def roll_back(self, task: Task) -> None:
        if len(task.versions) > 1:
            shutil.rmtree(self.folder(task, task.versions.pop()))
            self.becomes_live(task, task.versions[-1], "roll-back")

    def touch(self, task: Task) -> None:
        """The same bytes in other files, as a second rsync or a swap of links leaves them."""
        for name in (CONFIG, WEIGHTS):
            path = self.folder(task, task.versions[-1]) / name
            hidden = path.with_name(f".{name}.again")
            shutil.copyfile(path, hidden)
            hidden.rename(path)

    def spoil(self, task: Task) -> None:
        """A live version's file cut short, and mended."""
        version = task.versions[-1]
        path = self.folder(task, version) / self.random.choice((CONFIG, WEIGHTS))
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
        time.sleep(self.random.uniform(0.2, 3))
        path.write_bytes(content)
        self.becomes_live(task, version, "mended")

    def take_away(self, task: Task) -> None:
        aside = self.root.parent / "aside" / task.name
        task.is_away = True
        (self.root / task.name).rename(aside)
        time.sleep(self.random.uniform(0.5, 3))
        aside.rename(self.root / task.name)
        self.becomes_live(task, task.versions[-1], "brought back")
        task.is_away = False

    def operations(self) -> list:
        common = [self.rename] * 4 + [self.copy] * 3 + [self.rsync] * 2 + [self.replace_half] * 2
        return common + [self.break_one, self.wrong_one, self.roll_back, self.touch, self.spoil, self.take_away]

    def working(self, until: float) -> None:
        while time.monotonic() < until:
            with self.lock:
                task = self.random.choice([task for task in self.tasks if task.name not in self.busy])
                operation = self.random.choice(self.operations())
                self.busy.add(task.name)
            try:
                operation(task)
            except Exception as error:  # An operation that breaks off is no operation that was survived.
                with self.lock:
                    self.never.append((operation.__name__, task.name, repr(error)))
            finally:
                with self.lock:
                    self.busy.remove(task.name)
                    self.counts[f"operation {operation.__name__}"] += 1

    # What goes wrong.

    def empty_folder(self) -> None:
        """The volume is not mounted, for longer than any repetition that could be believed."""
        away = self.root.parent / "unmounted"
        self.root.rename(away)
        self.root.mkdir()
        time.sleep(8)
        self.root.rmdir()
        away.rename(self.root)

    def most_gone(self) -> None:
        """A listing that breaks off."""
        aside = self.root.parent / "aside"
        gone = self.tasks[: len(self.tasks) * 3 // 5]
        for task in gone:
            (self.root / task.name).rename(aside / task.name)
        time.sleep(2)
        for task in gone:
            (aside / task.name).rename(self.root / task.name)

    def dead_links(self) -> None:
        """Tasks that are links into a volume that is not there."""
        aside = self.root.parent / "aside"
        dead = self.random.sample(self.tasks, min(20, len(self.tasks)))
        for task in dead:
            (self.root / task.name).rename(aside / task.name)
            (self.root / task.name).symlink_to("/nonexistent/mount")
        time.sleep(3)
        for task in dead:
            (self.root / task.name).unlink()
            (aside / task.name).rename(self.root / task.name)

    def no_descriptors(self) -> None:
        clients = []
        for _ in range(DESCRIPTORS + 50):
            try:
                clients.append(socket.create_connection(("127.0.0.1", self.server.port), timeout=1))
            except OSError:
                break
        time.sleep(5)
        for client in clients:
            client.close()

    def faults(self) -> list:
        return [self.empty_folder, self.most_gone, self.dead_links, self.no_descriptors]

    def run(self, minutes: float) -> None:
        end = time.monotonic() + 60 * minutes
        asking = [threading.Thread(target=self.asking, args=(seed,)) for seed in range(2)]
        [thread.start() for thread in asking]
        turn = 0
        while time.monotonic() < end:
            until = min(end, time.monotonic() + 15)
            workers = [threading.Thread(target=self.working, args=(until,)) for _ in range(WORKERS)]
            [thread.start() for thread in workers]
            [thread.join() for thread in workers]
            fault = self.faults()[turn % len(self.faults())]
            fault()
            self.counts[f"fault {fault.__name__}"] += 1
            turn += 1
        time.sleep(10)
        self.ending.set()
        [thread.join() for thread in asking]
        for task in self.tasks:
            status = self.check(task)
            if status != 200 or self.server.live(task.name) != task.versions[-1]:
                self.lost.append((task.name, task.versions, self.server.ask("GET", f"/v1/tasks/{task.name}")[1]))


def row(what: str, value: object, bar: str = "") -> None:
    print(f"{what:<58} {value!s:<24} {bar}", flush=True)


def report(trouble: Trouble) -> bool:
    """Prints the table; tells whether every bar is held."""
    for name, count in sorted(trouble.counts.items()):
        row(name, count)
    slow = max(trouble.waits, default=(0.0, "none"))
    waits = sorted(wait for wait, _ in trouble.waits)
    metric = trouble.server.metric
    row("errors while looking", f"{metric('mimi_folder_errors_total'):.0f}")
    row("versions rewritten in place, told", f"{metric('mimi_packs_rewritten_total'):.0f}")
    row("whole versions published", len(waits))
    row("until a whole version is live, median, s", f"{waits[len(waits) // 2] if waits else 0:.2f}")
    row("until a whole version is live, longest, s", f"{slow[0]:.2f} ({slow[1]})", "bar: <= 5")
    row("whole versions that never were live", len(trouble.never), "bar: 0")
    row("tasks lost", len(trouble.lost), "bar: 0")
    row("wrong answers", len(trouble.wrong), "bar: 0")
    for kind in (trouble.never, trouble.lost, trouble.wrong):
        for example in kind[:5]:
            print("  ", *example)
    return not (trouble.never or trouble.lost or trouble.wrong or slow[0] > 5)


def busy(args: argparse.Namespace, folder: Path, models: Path) -> bool:
    packs, root = Packs(models / "tiny"), folder / "packs"
    (folder / "aside").mkdir()
    for index in range(args.tasks or 1000):
        write(root / f"t{index:05}" / "1", packs.files(f"t{index:05}", 1))
    with Server(args.server, models, root) as server:
        trouble = Trouble(server, packs, root, args.tasks or 1000, args.seed)
        trouble.run(args.minutes)
        return report(trouble)


def idle(args: argparse.Namespace, folder: Path, models: Path, *options: str) -> bool:
    packs, root, count = Packs(models / "tiny"), folder / "packs", args.tasks or 10_000
    files = packs.files("t00000", 1)
    for index in range(count):
        target = root / f"t{index:05}" / "1"
        target.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            if index == 0:
                (target / name).write_bytes(content)
            elif not (target / name).exists():
                os.link(root / "t00000" / "1" / name, target / name)
    with Server(args.server, models, root, *options) as server:
        row(f"{count} tasks {' '.join(options)}: ready after, s", f"{server.ready:.2f}", "bar: <= 1.5")
        time.sleep(5)
        before, started = server.cpu(), time.monotonic()
        time.sleep(args.seconds)
        share = 100 * (server.cpu() - before) / (time.monotonic() - started)
        row(f"idle for {args.seconds:.0f} s, % of a core", f"{share:.2f}", f"bar: <= {2 if options else 1}")
        seen = []
        for turn in range(10):
            task, version = f"t{turn * count // 10:05}", (server.live(f"t{turn * count // 10:05}") or 0) + 1
            write(root / task / str(version), packs.files(task, version))
            started = time.monotonic()
            while server.live(task) != version and time.monotonic() < started + PATIENCE:
                time.sleep(0.01)
            seen.append(time.monotonic() - started)
            time.sleep(0.37)
        # Without notices the folders' times are compared in turn, as often as 1 % of a core allows.
        bar = 10 if options else 2
        row("a new version is live after, longest of 10, s", f"{max(seen):.2f}", f"bar: <= {bar}")
        return server.ready <= 1.5 and share <= (2 if options else 1) and max(seen) <= bar


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", type=Path, default=ROOT / "target" / "release" / "server")
    parser.add_argument("--tasks", type=int, help="1000, or 10000 idle ones")
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--idle", action="store_true", help="measure idle tasks, with change notices and without")
    parser.add_argument("--seconds", type=float, default=130, help="how long idle tasks are watched; full looks are 60 s apart")
    parser.add_argument("--keep-log", type=Path, help="where to put the server's log")
    args = parser.parse_args()
    args.server = args.server.resolve()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        models = folder / "models"
        import_backbone(args.server, models)
        if args.idle:
            is_good = idle(args, folder, models)
            is_good &= idle(args, folder, models, "--no-notices")
        else:
            is_good = busy(args, folder, models)
        if args.keep_log:
            shutil.copyfile(folder / "log", args.keep_log)
    sys.exit(0 if is_good else 1)


if __name__ == "__main__":
    main()
