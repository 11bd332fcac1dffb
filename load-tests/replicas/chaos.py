"""Versions come and go, the store is away, a replica dies and comes back; clients must see none of it.

An answer must be wholly of one version: its class and its digest are those of the version that it names. And that version
must have been live: from the beginning of its publishing until 3 s after its successor's was done.
"""

import random
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, List, Tuple

import packs
from fleet import Answer, Fleet, Load, Place, Store
from table import Table, percentile

LIVE_WITHIN = 3.0
AWAY = 30.0
HITS = 0.98
# Of popularity ranks, from which tasks are taken whose versions change: each is asked often enough to tell.
POPULAR = 400


@dataclass
class Span:
    """When a version may answer."""

    version: int
    since: float
    until: float = float("inf")


@dataclass
class Publisher:
    """Publishes and takes back, and knows what was live when."""

    place: Place
    fleet: Fleet
    maker: packs.Maker
    folder: Path
    random: random.Random
    spans: Dict[int, List[Span]] = field(default_factory=dict)
    newest: Dict[int, int] = field(default_factory=dict)
    lags: List[float] = field(default_factory=list)
    failures: List[str] = field(default_factory=list)
    late: List[str] = field(default_factory=list)
    # What versions must say, class and digest.
    known: Dict[Tuple[int, int], Tuple[str, str]] = field(default_factory=dict)

    def expected(self, task: int, version: int) -> Tuple[str, str]:
        """The class and the digest of a version."""
        if (task, version) not in self.known:
            made = self.maker.make(task, version)
            self.known[task, version] = (made.favourite, made.digest())
        return self.known[task, version]

    def live(self, task: int) -> int:
        return self.spans[task][-1].version if task in self.spans else 1

    def run(self, *arguments: str) -> str:
        done = subprocess.run([str(self.place.server), *arguments], env=self.fleet.store.environment, capture_output=True, text=True)
        return "" if done.returncode == 0 else f"{' '.join(arguments)}: {done.stderr[-300:]}"

    def publish(self, task: int) -> None:
        """Publishes the next version."""
        version = self.newest.get(task, 1) + 1
        folder = self.maker.make(task, version).write(self.folder / packs.name(task) / str(version))
        if self.change(task, version, ["publish", "--task", packs.name(task), "--version", str(version), str(folder)]):
            self.newest[task] = version

    def roll_back(self, task: int) -> None:
        """Goes back to the version before."""
        self.change(task, self.live(task) - 1, ["rollback", "--task", packs.name(task)])

    def change(self, task: int, version: int, arguments: List[str]) -> bool:
        replicas = [one for one in self.fleet.replicas if one.process.poll() is None]
        for replica in replicas:
            # Each has the old version in memory.
            replica.classify(task)
        begun = time.time()
        if failure := self.run(*arguments):
            self.failures.append(failure)
            return False
        done = time.time()
        spans = self.spans.setdefault(task, [Span(1, 0.0)])
        spans[-1].until = done + LIVE_WITHIN
        spans.append(Span(version, begun))
        self.follow(task, version, replicas, done)
        return True

    def follow(self, task: int, version: int, replicas: list, done: float) -> None:
        """Waits until every replica answers with a version."""
        waiting = list(replicas)
        while waiting and time.time() < done + 4 * LIVE_WITHIN:
            waiting = [one for one in waiting if one.process.poll() is None and one.classify(task)[1] != version]
            if waiting:
                time.sleep(0.02)
        self.lags.append(time.time() - done)
        if waiting:
            self.late.append(f"{packs.name(task)} version {version} at {[one.number for one in waiting]}")

    def judge(self, answer: Answer) -> str:
        """What is wrong with an answer, if anything."""
        if answer.status != 200:
            return f"status {answer.status} {answer.told[:160]}"
        if (answer.label, answer.pack) != self.expected(answer.task, answer.version):
            return f"mixed: version {answer.version} says {answer.label}, pack {answer.pack[:12]}"
        spans = self.spans.get(answer.task, [Span(1, 0.0)])
        if not any(one.version == answer.version and one.since <= answer.ended and answer.begun <= one.until for one in spans):
            return f"version {answer.version} was not live"
        return ""


class Events:
    """What happens, and when: a store that is away, a death and a return."""

    def __init__(self, fleet: Fleet, seconds: float) -> None:
        self.fleet = fleet
        self.away = (0.2 * seconds, 0.2 * seconds + min(AWAY, 0.3 * seconds))
        self.death, self.life = 0.6 * seconds, 0.6 * seconds + min(5.0, 0.05 * seconds)
        self.begun = time.monotonic()
        # Packs that the dead one had read.
        self.lost_loads = 0.0

    def is_away(self, ahead: float) -> bool:
        now = time.monotonic() - self.begun
        return self.away[0] - ahead <= now <= self.away[1] + 1

    def wait(self, moment: float) -> None:
        time.sleep(max(0.0, self.begun + moment - time.monotonic()))

    def run(self) -> None:
        self.wait(self.away[0])
        self.fleet.store.proxy.down()
        self.wait(self.away[1])
        self.fleet.store.proxy.up()
        self.wait(self.death)
        victim = self.fleet.replicas[1]
        self.lost_loads = victim.metric("mimi_pack_loads_total")
        victim.kill()
        self.wait(self.life)
        victim.start()


def changes(publisher: Publisher, events: Events, seconds: float, counts: Tuple[int, int]) -> None:
    """All publishes and rollbacks, evenly over the time in which the store is there."""
    kinds = ["publish"] * counts[0] + ["rollback"] * counts[1]
    publisher.random.shuffle(kinds)
    room = seconds - (events.away[1] - events.away[0]) - 15
    for place, kind in enumerate(kinds):
        while events.is_away(5):
            time.sleep(0.1)
        paused = events.away[1] - events.away[0] + 6 if time.monotonic() - events.begun > events.away[1] else 0
        events.wait(paused + place * room / len(kinds))
        changed = [task for task in publisher.spans if publisher.live(task) > 1]
        if kind == "rollback" and changed:
            publisher.roll_back(publisher.random.choice(changed))
        else:
            publisher.publish(publisher.random.randrange(POPULAR))


def run(table: Table, place: Place, args) -> None:
    """The part."""
    tasks, seconds = args.tasks, args.seconds
    with Store(place, tasks) as store, Fleet(place, store, "chaos", "--pack-memory", str(args.pack_memory), balance=args.balance) as fleet:
        table.row(f"chaos: {tasks} tasks in the store, MB", store.bytes / 1e6)
        warm = Load(fleet, tasks, 0, 0, warm=True).wait()
        table.row("chaos: every task asked once, answers a second", len(warm) / (max(a.ended for a in warm) - min(a.begun for a in warm)))
        publisher = Publisher(place, fleet, packs.Maker(place.models / "tiny"), place.new("versions"), random.Random(args.seed))
        before = fleet.loads()
        with Load(fleet, tasks, args.rate, seconds) as load:
            events = Events(fleet, seconds)
            happening = threading.Thread(target=events.run)
            happening.start()
            changes(publisher, events, seconds, (args.publishes, args.rollbacks))
            happening.join()
            answers = load.wait()
        recalled = sum(one.metric("mimi_packs_recalled_total") for one in fleet.replicas)
        loads = fleet.loads() + events.lost_loads - before - recalled
        table.row("chaos: packs that the dead replica had, read again before they were asked for", int(recalled))
        tell(table, publisher, answers, loads, load)


def tell(table: Table, publisher: Publisher, answers: List[Answer], loads: float, load: Load) -> None:
    """The rows."""
    wrong = [(answer, told) for answer in answers if (told := publisher.judge(answer))]
    failed = [one for one in wrong if one[0].status != 200]
    load.tell(table, "chaos", answers)
    table.row("chaos: failures seen by the client", len(failed), "0", not failed)
    others = len(wrong) - len(failed)
    table.row("chaos: answers not wholly of a version that was live", others, "0", not others)
    table.row("chaos: versions published or taken back", len(publisher.lags))
    table.row("chaos: that failed", len(publisher.failures), "0", not publisher.failures)
    table.at_most("chaos: live on every replica after, longest of all, s", max(publisher.lags, default=0.0), LIVE_WITHIN)
    table.row("chaos: live on every replica after, median, s", percentile(publisher.lags, 0.5))
    table.at_least("chaos: pack hit rate, with the changes and the dead replica's", 1 - loads / max(1, len(answers)), HITS)
    times = [answer.ended - answer.begun for answer in answers]
    table.row("chaos: p50, ms", 1000 * percentile(times, 0.5))
    table.row("chaos: p99, ms", 1000 * percentile(times, 0.99))
    first = min((answer.begun for answer in answers), default=0.0)
    for answer, told in wrong[:8]:
        print(f"   at {answer.begun - first:.1f} s, {packs.name(answer.task)}, {answer.ended - answer.begun:.2f} s: {told}")
    for told in (publisher.failures + publisher.late)[:8]:
        print("  ", told)
