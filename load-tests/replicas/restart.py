"""A rolling restart under load: each replica gets SIGTERM, ends by itself, and comes back. Clients must see nothing.

Readiness goes down first, and the server still takes requests while the balancer finds that out.
"""

import time

from fleet import Fleet, Load, Place, Store
from table import Table, percentile

TASKS, NOTICE = 400, 3


def run(table: Table, place: Place, args) -> None:
    """The part."""
    with Store(place, TASKS) as store, Fleet(place, store, "restart", "--exit-notice-secs", str(NOTICE)) as fleet:
        Load(fleet, TASKS, 0, 0, warm=True).wait()
        load = Load(fleet, TASKS, args.rate, 45)
        time.sleep(3)
        statuses, endings = [], []
        for replica in fleet.replicas:
            begun = time.monotonic()
            statuses.append(replica.end())
            endings.append(time.monotonic() - begun)
            replica.start()
            # The balancer finds it ready.
            time.sleep(2)
        answers = load.wait()
        failed = [answer for answer in answers if answer.status != 200]
        table.row("restart: answers", len(answers))
        table.row("restart: failures seen by the client", len(failed), "0", not failed)
        table.row("restart: replicas that ended with another status than 0", sum(map(bool, statuses)), "0", not any(statuses))
        table.row("restart: SIGTERM to the end, longest, s", max(endings))
        table.row("restart: p99, ms", 1000 * percentile([one.ended - one.begun for one in answers], 0.99))
        for answer in failed[:5]:
            print("  ", answer)
