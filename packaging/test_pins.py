"""Tests that every place names the same ONNX Runtime and the same Rust. Run: python3 -m unittest discover -s packaging"""

import re
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def found(file: str, pattern: str) -> str:
    """The first group of the pattern's one match in a file."""
    (match,) = set(re.findall(pattern, (ROOT / file).read_text()))
    return match


class Pins(unittest.TestCase):
    def test_one_onnx_runtime(self):
        version = found("models/fetch.py", r'ONNXRUNTIME_VERSION = "(.+)"')
        for file, pattern in [
            ("Makefile", r"ORT_VERSION := (.+)"),
            ("pyproject.toml", r'"onnxruntime==(.+?)"'),
            ("Dockerfile", r"libonnxruntime\.so\.([\d.]+)"),
            ("src/cli/runtime.rs", r"libonnxruntime\.so\.([\d.]+)"),
        ]:
            self.assertEqual(found(file, pattern), version, file)

    def test_the_image_builds_with_a_rust_that_is_new_enough(self):
        least = found("Cargo.toml", r'rust-version = "(\d+\.\d+)"')
        image = found("Dockerfile", r"rust:(\d+\.\d+)-")
        self.assertGreaterEqual([int(part) for part in image.split(".")], [int(part) for part in least.split(".")])

    def test_the_image_is_built_from_every_target_of_the_manifest(self):
        manifest = (ROOT / "Cargo.toml").read_text()
        folders = {"benches" for _ in re.findall(r"^\[\[bench\]\]", manifest, re.M)}
        # Of src everything is copied; of other folders the one file.
        files = {path.replace("src/main.rs", "src") for path in re.findall(r'^path = "(.+)"', manifest, re.M)}
        for source in folders | files:
            self.assertIn(f"COPY {source} {source}\n", (ROOT / "Dockerfile").read_text())
            self.assertIn(f"!{source}\n", (ROOT / ".dockerignore").read_text())


if __name__ == "__main__":
    unittest.main()
