"""A rolling restart under load: each replica gets SIGTERM, ends by itself, and comes back. Clients must see nothing.

Readiness goes down first, and the server still takes requests while the balancer finds that out.
"""

import time
from typing import List

from fleet import Answer, Fleet, Load, Place, Store
from slow import Slow
from table import Table, percentile

TASKS, NOTICE, SECONDS = 400, 3, 60


def run(table: Table, place: Place, args) -> None:
    """The part."""
    with Store(place, TASKS) as store, Fleet(place, store, "restart", "--exit-notice-secs", str(NOTICE)) as fleet:
        Load(fleet, TASKS, 0, 0, warm=True).wait()
        slow, statuses, endings = Slow(fleet.port), [], []
        with Load(fleet, TASKS, args.rate, SECONDS) as load:
            time.sleep(3)
            for replica in fleet.replicas:
                slow.begin()
                begun = time.monotonic()
                statuses.append(replica.end())
                endings.append(time.monotonic() - begun)
                replica.start()
                # The balancer finds it ready.
                time.sleep(2)
            answers = load.wait()
        load.tell(table, "restart", answers)
        tell(table, answers, slow.statuses())
        table.row("restart: replicas that ended with another status than 0", sum(map(bool, statuses)), "0", not any(statuses))
        table.row("restart: SIGTERM to the end, longest, s", max(endings))


def tell(table: Table, answers: List[Answer], slow: List[int]) -> None:
    """The rows of clients."""
    failed = [answer for answer in answers if answer.status != 200]
    table.row("restart: failures seen by the client", len(failed), "0", not failed)
    refused = [status for status in slow if status != 200]
    table.row(f"restart: of {len(slow)} slow requests of 192 KiB, failed", len(refused), "0", not refused)
    table.row("restart: p99, ms", 1000 * percentile([one.ended - one.begun for one in answers], 0.99))
    for told in [*failed[:5], *refused[:5]]:
        print("  ", told)
