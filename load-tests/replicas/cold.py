"""How long an answer takes whose pack is not in memory: from the store, 30 ms away, and from the disk's cache.

Packs are of 680 classes, 0.15 MB; the memory for packs holds a hundredth of them, and they are asked in turn. So answers
read their pack, which the server's own counters must confirm.
"""

import time
from typing import List

from fleet import Place, Replica, Store
from table import Table, percentile

CLASSES, TASKS, MEMORY = 680, 400, "2"
DELAY = 0.030
FROM_DISK, FROM_STORE = 10.0, 100.0


def round_of(replica: Replica, tasks: List[int]) -> List[float]:
    """Asks each task once; milliseconds of each answer."""
    times = []
    for task in tasks:
        begun = time.perf_counter()
        status, _, _ = replica.classify(task)
        times.append(1000 * (time.perf_counter() - begun))
        if status != 200:
            raise SystemExit(f"cold: task {task} is answered {status}: {replica.told()}")
    return times


def run(table: Table, place: Place, args) -> None:
    """The part."""
    with Store(place, TASKS, CLASSES) as store:
        table.row("cold: bytes of a pack", store.bytes // TASKS)
        store.proxy.delay = DELAY
        replica = Replica(place, store, 0, place.new("cold"), ["--pack-memory", MEMORY])
        try:
            replica.start()
            measure(table, replica)
        finally:
            replica.kill()


def measure(table: Table, replica: Replica) -> None:
    """Three rounds: from the store, from the disk, and one task from memory."""
    tasks = list(range(TASKS))
    for name, bar in (("the store, 30 ms away", FROM_STORE), ("the disk", FROM_DISK)):
        before = replica.metric("mimi_pack_loads_total")
        times = round_of(replica, tasks)
        loads = int(replica.metric("mimi_pack_loads_total") - before)
        # The cache keeps some of what is asked again and again, so a few are found in memory.
        table.row(f"cold: answers that read their pack from {name}", f"{loads} of {TASKS}", ">= 97 %", loads >= 0.97 * TASKS)
        table.row(f"cold: from {name}: p50, ms", percentile(times, 0.5))
        table.at_most(f"cold: from {name}: p99, ms", percentile(times, 0.99), bar)
    times = round_of(replica, [0] * TASKS)[1:]
    table.row("cold: from memory: p50, ms", percentile(times, 0.5))
    table.row("cold: from memory: p99, ms", percentile(times, 0.99))
