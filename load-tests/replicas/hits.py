"""How many answers find their pack in memory: tasks hashed to replicas, hashed with a tight bound, and sent anywhere.

All replicas together hold 1.5 times the packs of all tasks, whatever the balancer. Every task is asked once before.
"""

from fleet import Fleet, Load, Place, Store
from table import Table

BAR = 0.98
# What each balancer does, as the parameter of the fleet.
WAYS = {"by task": "", "by task, bound 1.5": "150", "random": "random"}


def hit_rate(table: Table, place: Place, store: Store, args, way: str) -> float:
    """The share of answers without a read."""
    with Fleet(place, store, "hits", "--pack-memory", str(args.pack_memory), balance=WAYS[way]) as fleet:
        Load(fleet, args.tasks, 0, 0, warm=True).wait()
        resident = [one.metric("mimi_packs_resident_bytes") for one in fleet.replicas]
        before = fleet.loads()
        answers = Load(fleet, args.tasks, args.rate, args.hit_seconds).wait()
        rate = 1 - (fleet.loads() - before) / max(1, len(answers))
        failed = sum(answer.status != 200 for answer in answers)
        table.row(f"hits: {way}: answers, failures", f"{len(answers)}, {failed}", "", None if not failed else False)
        table.row(f"hits: {way}: MB of packs in each replica", ", ".join(f"{one / 1e6:.1f}" for one in resident))
    return rate


def run(table: Table, place: Place, args) -> None:
    """The part."""
    with Store(place, args.tasks) as store:
        for way in WAYS:
            rate = hit_rate(table, place, store, args, way)
            if way == "by task":
                table.at_least(f"hits: {way}: pack hit rate", rate, BAR)
            else:
                table.row(f"hits: {way}: pack hit rate", rate)
