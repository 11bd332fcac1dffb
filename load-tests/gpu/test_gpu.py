"""Tests of the check itself; no GPU, no network. Run: python3 -m unittest discover -s load-tests/gpu"""

import contextlib
import io
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import unittest
from argparse import Namespace
from math import isfinite, prod
from pathlib import Path
from unittest import mock

import bundle
import check
import cuda
import parts
import weights
from record import Record, write
from table import table

PIECE = 1000
JOIN = Path(bundle.__file__).with_name("join.py")


class Folder(unittest.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.root = Path(holder.name)


class Bundle(Folder):
    def setUp(self):
        super().setUp()
        source, self.out, self.store = (self.root / name for name in ("source", "out", "store"))
        source.mkdir()
        self.out.mkdir()
        self.contents = {"bin/server": os.urandom(3500), "a/b.py": b"print()\n" * 9, "empty": b""}
        files = []
        for number, (name, data) in enumerate(self.contents.items()):
            path = source / str(number)
            path.write_bytes(data)
            path.chmod(0o755 if name.startswith("bin/") else 0o644)
            files.append((path, name))
        self.bundle = {"device": "cpu", **bundle.pack(files, self.out, PIECE)}
        self.save()
        shutil.copy(JOIN, self.out)

    def save(self):
        write(self.out / "bundle.json", json.dumps(self.bundle))

    def join(self, pieces=None):
        command = [sys.executable, self.out / "join.py", "--store", self.store, "--pieces", pieces or self.out]
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def test_pieces_are_no_larger_than_asked_and_give_the_same_files(self):
        sizes = [piece["bytes"] for piece in self.bundle["pieces"]]
        self.assertGreater(len(sizes), 3)
        self.assertTrue(all(size == PIECE for size in sizes[:-1]) and 0 < sizes[-1] <= PIECE, sizes)
        done = self.join()
        self.assertEqual(done.returncode, 0, done.stderr)
        unpacked = self.store / "unpacked"
        found = {str(p.relative_to(unpacked)): p.read_bytes() for p in unpacked.rglob("*") if p.is_file()}
        self.assertEqual(found, self.contents)
        self.assertEqual(os.access(unpacked / "bin/server", os.X_OK), True)
        self.assertEqual(os.access(unpacked / "a/b.py", os.X_OK), False)

    def test_packing_twice_gives_the_same_pieces(self):
        again = self.root / "again"
        again.mkdir()
        files = [(self.root / "source" / str(number), name) for number, name in enumerate(self.contents)]
        self.assertEqual(bundle.pack(files, again, PIECE)["pieces"], self.bundle["pieces"])

    def test_pieces_come_one_at_a_time(self):
        names = [piece["name"] for piece in self.bundle["pieces"]]
        for number, name in enumerate(reversed(names)):
            arriving = self.root / "arriving"
            arriving.mkdir()
            shutil.copy(self.out / "bundle.json", arriving)
            shutil.copy(self.out / name, arriving)
            done = self.join(arriving)
            self.assertIn(f"{number + 1} of {len(names)} pieces are here", done.stdout)
            self.assertEqual(done.returncode, 0 if number + 1 == len(names) else 3, done.stderr)
            shutil.rmtree(arriving)
        self.assertEqual((self.store / "unpacked/bin/server").read_bytes(), self.contents["bin/server"])

    def test_an_altered_piece_is_refused(self):
        piece = self.out / self.bundle["pieces"][1]["name"]
        data = bytearray(piece.read_bytes())
        data[0] ^= 1
        piece.write_bytes(data)
        done = self.join()
        self.assertEqual(done.returncode, 1)
        self.assertIn("not used", done.stderr)
        self.assertFalse((self.store / "unpacked").exists())

    def test_a_file_that_is_another_missing_or_unlisted_is_refused(self):
        listed = self.bundle["files"]
        other = [dict(listed[0], sha256="0" * 64), *listed[1:]]
        for files in (other, listed[1:], [*listed, dict(listed[0], name="more")]):
            self.bundle["files"] = files
            self.save()
            done = self.join()
            self.assertEqual(done.returncode, 1, done.stdout)
            self.assertFalse((self.store / "unpacked").exists())

    def test_another_bundle_replaces_the_unpacked_one(self):
        self.assertEqual(self.join().returncode, 0)
        path = self.root / "source" / "new"
        path.write_bytes(b"new")
        shutil.rmtree(self.out)
        self.out.mkdir()
        self.bundle = {"device": "cpu", **bundle.pack([(path, "new")], self.out, PIECE)}
        self.save()
        shutil.copy(JOIN, self.out)
        self.assertEqual(self.join().returncode, 0)
        self.assertEqual([p.name for p in (self.store / "unpacked").iterdir()], ["new"])


class Work(Folder):
    def setUp(self):
        super().setUp()
        self.ran = []
        self.bench = parts.Bench(Namespace(device="cpu", size="small"), {})

    def part(self, name, result=None, raises=None):
        def run(_bench):
            self.ran.append(name)
            if raises:
                raise raises
            return result or parts.measured([name])

        return parts.Part(name, 60, run)

    def record(self, **identity):
        return Record(self.root / "results.json", {"device": "cpu", **identity})

    def work(self, listed, record, seconds=60):
        with contextlib.redirect_stdout(io.StringIO()):
            return check.work(self.bench, record, listed, seconds)

    def test_a_second_run_does_what_is_left(self):
        first = [self.part("machine"), self.part("a")]
        self.assertEqual(self.work(first, self.record()), [])
        self.assertEqual(self.work([*first, self.part("b")], self.record()), [])
        self.assertEqual(self.ran, ["machine", "a", "machine", "b"])
        self.assertEqual(set(self.record().parts), {"machine", "a", "b"})

    def test_a_part_that_fails_stops_no_other_and_the_basis_stops_all(self):
        for failure in (parts.Failed("why"), subprocess.TimeoutExpired("x", 1), ValueError("why"), OSError("why")):
            record = self.record(failure=repr(failure))
            self.assertEqual(self.work([self.part("a", raises=failure), self.part("b")], record), [])
            self.assertEqual([part["verdict"] for part in record.parts.values()], ["fail", "measured"])
            self.assertTrue(record.parts["a"]["why"])
        record = self.record(basis="fails")
        self.assertEqual(self.work([self.part("machine", raises=OSError("why")), self.part("c")], record), ["c"])
        self.assertNotIn("c", self.ran)

    def test_parts_without_time_are_left_and_not_recorded(self):
        record = self.record()
        self.assertEqual(self.work([self.part("a"), self.part("b")], record, seconds=1), ["a", "b"])
        self.assertEqual((self.ran, record.parts), ([], {}))

    def test_results_of_another_build_are_set_aside(self):
        self.work([self.part("a")], self.record(server="1"))
        record = self.record(server="2")
        self.assertEqual(record.parts, {})
        self.assertIn("server changed", record.set_aside)
        self.assertIn("a", json.loads((self.root / "results.previous.json").read_text())["parts"])

    def test_the_table_names_failures_and_what_is_left(self):
        record = self.record()
        self.work([self.part("a", raises=OSError("broken | pipe"))], record)
        text = table({"device": "cpu", "size": "small", "rounds": "3"}, record.parts, ["b"])
        self.assertIn("| a | fail |", text)
        self.assertIn("broken / pipe", text)
        self.assertIn("Not done yet: b.", text)


class Parts(Folder):
    """Parts over a program that prints what it is told to."""

    def bench(self, said, status=0, **more):
        program = self.root / "program"
        program.write_text(f"#!{sys.executable}\nimport sys\nprint({said!r})\nsys.exit({status})\n")
        program.chmod(0o755)
        args = Namespace(device="cpu", size="vit-b16", server=program, tests=program, out=self.root, rounds=1, **more)
        bench = parts.Bench(args, dict(os.environ))
        bench.ends = time.monotonic() + 60
        return bench

    def test_tests_pass_only_when_they_say_so(self):
        passed = "test m::a ... ok\ntest m::b ... ok\n\ntest result: ok. 2 passed"
        failed = "test m::a ... ok\ntest m::b ... FAILED\n\ntest result: FAILED. 1 passed"
        for said, status, verdict in (
            (passed, 0, "pass"),
            (failed, 101, "fail"),
            # A crash leaves no result, a filter that fits nothing no test.
            ("test m::a ... ok\n", -11, "fail"),
            ("test result: ok. 0 passed", 0, "fail"),
        ):
            self.assertEqual(parts.tests("m")(self.bench(said, status))["verdict"], verdict, said)
        self.assertEqual(parts.tests("m")(self.bench(failed, 101))["figures"], {"passed": 1, "failed": ["m::b"]})

    def test_parity_fails_by_distance_by_angle_and_by_what_is_no_number(self):
        good = {"rows": 1, "packs": 1, "adapters": 1, "largest": 1e-4, "relative": 1e-5, "cosine": 1.0}
        for change, verdict in (({}, "pass"), ({"largest": 1e-2}, "fail"), ({"cosine": 0.9}, "fail"), ({"largest": None}, "fail")):
            said = json.dumps({**good, **change})
            self.assertEqual(parts.parity("fp32")(self.bench(said))["verdict"], verdict, said)

    def test_weights_that_are_uploaded_for_every_program_fail(self):
        size = 4 * weights.SIZES["vit-b16"].parameters
        for each, verdict in ((size // 10, "pass"), (size, "fail")):
            lines = [{"loaded": "programs", "programs": n, "bytes": size + n * each} for n in parts.PROGRAMS]
            said = "\n".join(map(json.dumps, lines))
            result = parts.memory(self.bench(said))
            self.assertEqual(result["verdict"], verdict)
            self.assertEqual(result["figures"]["further_program_bytes"], each)

    def test_what_a_command_printed_before_its_time_was_up_is_kept(self):
        bench = self.bench("")
        (self.root / "program").write_text(f"#!/bin/sh\nprintf '{{\"rows\": 1}}\\n{{\"rows'\nexec sleep 20\n")
        bench.ends = time.monotonic() + 1
        with self.assertRaisesRegex(parts.Failed, "took more than 1 s") as failed:
            bench.lines("--sweep")
        self.assertEqual(failed.exception.figures, [{"rows": 1}])
        result = check.run(parts.Part("sweep", 1, lambda bench: bench.lines("--sweep")), bench)
        self.assertEqual((result["verdict"], result["figures"]), ("fail", [{"rows": 1}]))

    def test_a_command_that_fails_or_prints_nothing_is_no_result(self):
        with self.assertRaisesRegex(parts.Failed, "ended with 3"):
            self.bench("{}", 3).lines("--sweep")
        with self.assertRaises((parts.Failed, ValueError)):
            self.bench("").lines("--sweep")


class Cuda(Folder):
    def test_libraries_are_found_beside_a_pythons_packages(self):
        lib = self.root / "nvidia" / "cu13" / "lib"
        lib.mkdir(parents=True)
        (self.root / "nvidia" / "empty" / "lib").mkdir(parents=True)
        (lib / "libcudart.so.13").touch()
        python = self.root / "python"
        python.write_text(f"#!/bin/sh\nPYTHONPATH={self.root} exec {sys.executable} \"$@\"\n")
        python.chmod(0o755)
        found = cuda.folders(str(python))
        self.assertIn(lib, found)
        self.assertNotIn(self.root / "nvidia" / "empty" / "lib", found)
        env = cuda.environment(str(python))
        self.assertIn(str(lib), env["LD_LIBRARY_PATH"].split(":"))
        self.assertTrue(cuda.on_path("libcudart.so.13", env))
        self.assertFalse(cuda.on_path("libcudart.so.12", dict(env, LD_LIBRARY_PATH=str(lib))))


    def test_the_gpu_is_the_one_that_was_asked_for(self):
        smi = self.root / "nvidia-smi"
        smi.write_text('#!/bin/sh\necho "GPU $4, 81559 MiB, 580.1"\n')
        smi.chmod(0o755)
        with mock.patch.dict(os.environ, {"PATH": f"{self.root}:{os.environ['PATH']}"}):
            found = cuda.gpu("cuda:2")
            self.assertEqual(found, {"name": "GPU 2", "memory.total": "81559 MiB", "driver_version": "580.1"})
            self.assertEqual(cuda.gpu("cuda")["name"], "GPU 0")
            smi.write_text("#!/bin/sh\necho no devices; exit 6\n")
            with self.assertRaisesRegex(RuntimeError, "no devices"):
                cuda.gpu("cuda")


class Weights(Folder):
    def test_a_checkpoint_is_whole_finite_and_the_same_again(self):
        shape = weights.SIZES["small"]
        path = self.root / "random.safetensors"
        weights.write(path, shape)
        data = path.read_bytes()
        length = struct.unpack("<Q", data[:8])[0]
        entries = json.loads(data[8 : 8 + length])
        self.assertEqual(len(data), 8 + length + 4 * shape.parameters)
        self.assertEqual(entries["blocks.3.attn.qkv.weight"]["shape"], [3 * shape.width, shape.width])
        start = 0
        for name, entry in entries.items():
            self.assertEqual(entry["data_offsets"], [start, start + 4 * prod(entry["shape"])], name)
            start = entry["data_offsets"][1]
        numbers = struct.unpack(f"<{shape.parameters}f", data[8 + length :])
        self.assertTrue(all(map(isfinite, numbers)))
        self.assertEqual(sum(number == 0.0 for number in numbers), 0)
        weights.write(self.root / "again", shape)
        self.assertEqual((self.root / "again").read_bytes(), data)

    def test_vit_b16_has_the_published_number_of_parameters(self):
        # timm's vit_base_patch16_224 without its classifier.
        self.assertEqual(weights.SIZES["vit-b16"].parameters, 85_798_656)


if __name__ == "__main__":
    unittest.main()
