"""How long a replica takes to be ready, with 100,000 tasks in the store."""

from fleet import Place, Replica, Store
from table import Table

BAR = 2.0


def run(table: Table, place: Place, args) -> None:
    """The part."""
    # All tasks have one blob: a start reads neither blobs nor pointers, and moto keeps less.
    with Store(place, args.many, 10, "one") as store:
        table.row(f"start: {args.many} tasks put into the store after, s", store.took)
        times = []
        for turn in range(3):
            replica = Replica(place, store, turn, place.new("start"))
            try:
                times.append(replica.start())
                status, version, _ = replica.classify(args.many - 1)
            finally:
                replica.kill()
            table.row("start: the last task is answered", status, "200", status == 200 and version == 1)
        table.at_most("start: until ready, longest of 3, s", max(times), BAR)
