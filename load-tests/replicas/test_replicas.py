"""What judges answers, and the archives that are put into the store."""

import io
import random
import re
import subprocess
import sys
import tarfile
import tempfile
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import chaos  # noqa: E402
import packs  # noqa: E402
from fleet import Answer, EXAMPLE, Fleet, Place, Replica  # noqa: E402
from proxy import Proxy  # noqa: E402
from table import percentile  # noqa: E402


def maker() -> packs.Maker:
    made = packs.Maker.__new__(packs.Maker)
    made.classes = 10
    made.config = {"name": "tiny", "fingerprint": "f", "activation": "gelu", "depth": 2, "width": 8, "preprocessing": {}}
    return made


class Judged(unittest.TestCase):
    """Answers under a task whose version 2 was published at 100 and done at 101, and 3 at 200 and 201."""

    def setUp(self) -> None:
        self.publisher = chaos.Publisher(None, None, maker(), Path(), random.Random(0))
        self.publisher.spans[5] = [chaos.Span(1, 0.0, 104.0), chaos.Span(2, 100.0, 204.0), chaos.Span(3, 200.0)]

    def told(self, version: int, begun: float, *, label: str = "", pack: str = "", status: int = 200) -> str:
        right = self.publisher.expected(5, version)
        return self.publisher.judge(Answer(begun, begun + 0.01, 5, status, version, pack or right[1], label or right[0], ""))

    def test_a_version_answers_while_it_is_live(self) -> None:
        for version, begun in ((1, 50), (1, 103.9), (2, 100.5), (2, 150), (2, 203), (3, 200.1), (3, 10_000)):
            self.assertEqual(self.told(version, begun), "", (version, begun))

    def test_a_version_that_was_not_live_is_wrong(self) -> None:
        for version, begun in ((1, 104.1), (2, 99.9), (2, 205), (3, 199.9), (4, 300)):
            self.assertIn("not live", self.told(version, begun), (version, begun))

    def test_a_mixed_answer_is_wrong(self) -> None:
        other = self.publisher.expected(5, 1)
        self.assertIn("mixed", self.told(2, 150, label=other[0]))
        self.assertIn("mixed", self.told(2, 150, pack=other[1]))

    def test_a_failure_is_wrong(self) -> None:
        for status in (0, 404, 429, 500, 503):
            self.assertIn(f"status {status}", self.told(2, 150, status=status))


class Archives(unittest.TestCase):
    """A `.mipack` is what other programs call a tar archive."""

    def test_tar_reads_both_files(self) -> None:
        version = maker().make(7, 3)
        with tarfile.open(fileobj=io.BytesIO(version.archive())) as archive:
            read = {one.name: archive.extractfile(one).read() for one in archive}
        self.assertEqual(read, version.files)

    def test_versions_differ(self) -> None:
        digests = {maker().make(task, version).digest() for task in range(5) for version in range(1, 5)}
        self.assertEqual(len(digests), 20)


class Balancers(unittest.TestCase):
    """The example is changed only where it must be."""

    def test_ports_and_ways(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            fleet = Fleet.__new__(Fleet)
            fleet.replicas = [Replica(Place(*[Path(folder)] * 5), None, number, Path(folder)) for number in range(4)]
            fleet.port, fleet.stats = 1, Path("socket")
            plain, factor, anywhere = (fleet.configured(way) for way in ("", "150", "random"))
        for replica in fleet.replicas:
            self.assertIn(f"127.0.0.1:{replica.port} check", plain)
        self.assertIn("hash-balance-factor 150", factor)
        self.assertIn("balance random", anywhere)
        self.assertFalse(re.search("hash-type|hash-balance-factor|balance hash", anywhere))
        changed = set(plain.splitlines()) - set(EXAMPLE.read_text().splitlines())
        # The stats socket, the way in, and four replicas for REST and for gRPC each.
        self.assertEqual(len(changed), 10, changed)
        self.assertNotIn("@", "".join(changed))


class Slow(unittest.TestCase):
    """The way to the store delays, and is gone when it is told so."""

    def test_delay_and_absence(self) -> None:
        import http.client
        import threading
        from http.server import BaseHTTPRequestHandler, HTTPServer

        class Hello(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        far = HTTPServer(("127.0.0.1", 0), Hello)
        threading.Thread(target=far.serve_forever, daemon=True).start()
        from fleet import free_port
        proxy = Proxy(free_port(), far.server_port)

        def ask() -> float:
            begun = time.monotonic()
            connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=5)
            connection.request("GET", "/")
            self.assertEqual(connection.getresponse().status, 204)
            connection.close()
            return time.monotonic() - begun

        ask()
        proxy.delay = 0.2
        self.assertGreaterEqual(ask(), 0.2)
        proxy.down()
        self.assertRaises(OSError, ask)
        proxy.up()
        ask()
        far.shutdown()
        far.server_close()


class Beginnings(unittest.TestCase):
    """What did not begin well leaves nothing behind."""

    def test_a_fleet_that_fails_to_start_ends_what_ran(self) -> None:
        fleet, sleeper = Fleet.__new__(Fleet), subprocess.Popen(["sleep", "60"])

        class Begun(Replica):
            def start(self) -> float:
                if self.number:
                    sys.exit("no")
                self.process = sleeper
                return 0.0

        fleet.balancer, fleet.replicas = None, [Begun(None, None, number, Path()) for number in range(2)]
        with self.assertRaises(SystemExit), fleet:
            pass
        self.assertEqual(sleeper.poll(), -9)


class Percentiles(unittest.TestCase):
    def test_of_a_hundred(self) -> None:
        values = [float(value) for value in range(1, 101)]
        self.assertEqual([percentile(values, share) for share in (0.5, 0.99, 1.0)], [51.0, 100.0, 100.0])
        self.assertEqual(percentile([], 0.5), 0.0)


if __name__ == "__main__":
    unittest.main()
