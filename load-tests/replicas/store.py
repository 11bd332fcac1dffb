"""An S3 server in a process of its own: moto, filled before it listens. Run by run.py, in a Python that has moto.

    python store.py PORT BACKBONE TASKS CLASSES [one]      `one`: every task has the same blob
"""

import sys
import time
from pathlib import Path

from moto.core import DEFAULT_ACCOUNT_ID
from moto.moto_server.threaded_moto_server import ThreadedMotoServer
from moto.s3.models import s3_backends

import packs


def fill(backbone: Path, tasks: int, classes: int, is_one: bool) -> int:
    """Puts objects into moto's memory, past HTTP: a hundred times as fast. Gives their bytes."""
    backend = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
    backend.create_bucket(packs.BUCKET, "us-east-1")
    maker, total, put = packs.Maker(backbone, classes), 0, set()
    one = maker.make(0, 1).archive() if is_one else b""
    for number in range(tasks):
        blob = one or maker.make(number, 1).archive()
        for key, value in packs.objects(number, blob).items():
            if key not in put:
                backend.put_object(packs.BUCKET, key, value)
                put.add(key)
                total += len(value)
    return total


def main() -> None:
    port, backbone, tasks, classes = int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    total = fill(backbone, tasks, classes, "one" in sys.argv[5:])
    server = ThreadedMotoServer("127.0.0.1", port, verbose=False)
    server.start()
    print(f"serving {total} bytes", flush=True)
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    main()
