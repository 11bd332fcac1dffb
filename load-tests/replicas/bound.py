#!/usr/bin/env python3
"""What a bound on load costs: the share of requests that leave their replica, by HAProxy 2.6's rule (chash_server_is_eligible).

    python3 load-tests/replicas/bound.py

A simulation: requests come as a Poisson process, each belongs to one replica, and each stays for a time that is exponential.
Nothing is hot. A replica that has as many requests as the bound allows passes the next one on.
"""

import heapq
import random

# A server's weight in HAProxy's sums.
WEIGHT = 16
FACTORS = (125, 150, 200, 300, 400)
REQUESTS = 20_000


def room(number: int, replicas: int, served: int, factor: int) -> int:
    """How many requests a replica may have, while all of them have so many."""
    slots = ((served + 1) * factor + 99) // 100
    each, rest = divmod(slots, WEIGHT * replicas)
    before, after = WEIGHT * number * rest, WEIGHT * (number + 1) * rest
    total = WEIGHT * replicas
    return max(1, WEIGHT * each + after // total - before // total)


def away(replicas: int, in_flight: float, factor: int) -> float:
    """The share of requests that another replica gets, with that many in flight at each on average."""
    chance, served, leaving, now, left = random.Random(1), [0] * replicas, [], 0.0, 0
    for _ in range(REQUESTS):
        now += chance.expovariate(in_flight * replicas)
        while leaving and leaving[0][0] <= now:
            served[heapq.heappop(leaving)[1]] -= 1
        home, total = chance.randrange(replicas), sum(served)
        others = chance.sample([one for one in range(replicas) if one != home], replicas - 1)
        taken = next((one for one in (home, *others) if served[one] < room(one, replicas, total, factor)), home)
        served[taken] += 1
        left += taken != home
        heapq.heappush(leaving, (now + chance.expovariate(1), taken))
    return left / REQUESTS


def main() -> None:
    print(f"{'replicas':<10}{'in flight':<12}" + "".join(f"{factor:>8}" for factor in FACTORS))
    for replicas in (4, 20):
        for in_flight in (0.1, 0.5, 2, 8):
            shares = "".join(f"{away(replicas, in_flight, factor):>8.3f}" for factor in FACTORS)
            print(f"{replicas:<10}{in_flight:<12}{shares}", flush=True)


if __name__ == "__main__":
    main()
