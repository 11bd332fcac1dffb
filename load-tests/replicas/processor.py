"""Processor time an answer of four replicas, pinned to the cores in turn, against that of one replica.

Two cores cannot show four replicas at once. So each is asked alone, and what it used is counted: what four use together for
an answer is what as many cores would give.
"""

import os
import statistics
import time
from typing import List

from fleet import Place, Replica, Store
from table import Table

BAR, TASKS, ROUNDS = 1.05, 400, 7


def cost(replica: Replica, tasks: List[int], seconds: float) -> float:
    """Milliseconds of processor time an answer, asked without a pause."""
    before, count, until = replica.cpu(), 0, time.monotonic() + seconds
    while time.monotonic() < until:
        status, _, _ = replica.classify(tasks[count % len(tasks)])
        if status != 200:
            raise SystemExit(f"processor: answered {status}: {replica.told()}")
        count += 1
    return 1000 * (replica.cpu() - before) / count


def run(table: Table, place: Place, args) -> None:
    """The part."""
    with Store(place, TASKS) as store:
        folder = place.new("processor")
        one, *four = [Replica(place, store, number, folder) for number in range(5)]
        shares = [[task for task in range(TASKS) if task % 4 == number] for number in range(4)]
        try:
            for replica in (one, *four):
                replica.start()
            # Everything is read, and programs are compiled.
            cost(one, list(range(TASKS)), 4)
            for replica, share in zip(four, shares):
                cost(replica, share, 2)
            ratios = [rounds(one, four, shares, turn) for turn in range(ROUNDS)]
        finally:
            for replica in (one, *four):
                replica.kill()
    table.row("processor: cores", os.cpu_count() or 1)
    table.row("processor: four over one, each round", " ".join(f"{ratio:.3f}" for ratio in ratios))
    table.at_most("processor: time an answer, four replicas over one", statistics.median(ratios), BAR)


def rounds(one: Replica, four: List[Replica], shares: List[List[int]], turn: int) -> float:
    """The ratio of one round. The order changes, so that a drift of the machine favours nobody."""
    def alone() -> float:
        return cost(one, list(range(TASKS)), 4)

    def together() -> float:
        return statistics.mean(cost(replica, share, 1) for replica, share in zip(four, shares))

    if turn % 2:
        single = alone()
        return together() / single
    several = together()
    return several / alone()
