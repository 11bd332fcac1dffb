"""The one client of all contenders: a fixed number of connections, each with one request open at a time."""

import http.client
import random
import threading
import time

from processes import Contender


def load(contender: Contender, tasks: list[str], images: list[bytes], options: tuple[int, float, int]) -> dict:
    """Asks for tasks drawn at random for some seconds: latencies in seconds, and how long it took in all."""
    clients, seconds, seed = options
    latencies, failed = [], []
    began = time.perf_counter()

    def client(number: int) -> None:
        draw = random.Random(f"{seed} {number}")
        connection = http.client.HTTPConnection("127.0.0.1", contender.port, timeout=120)
        while time.perf_counter() - began < seconds and not failed:
            task, image = draw.choice(tasks), draw.choice(images)
            before = time.perf_counter()
            try:
                contender.kind.answer(connection, task, image)
            except (OSError, http.client.HTTPException) as error:
                failed.append(repr(error))
                return
            latencies.append(time.perf_counter() - before)
        connection.close()

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise SystemExit(f"{contender.kind.name}: {failed[0]}")
    return {"seconds": latencies, "took": time.perf_counter() - began}
