"""Runs the command blocks of README and docs that are tagged `sh run`, beside a running server.

A block runs in a folder that looks like the repository, with images in `my-images/` and a copy of the packs, so that it
changes nothing here. `127.0.0.1:8080` in a block means the running server. The fence behind a block, if it says `json
output` or `text output`, must be what the block prints: texts exactly, numbers in JSON within 0.005, since processors
round differently. `python3 .ci/blocks.py PORT` runs them against a server that serves the repository's packs; with
`--update` it writes what they print into the pages.
"""

from __future__ import annotations

import json
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path

# What blocks read; everything else of the repository they do without.
LINKED = ("assets", "docs", "examples", "load-tests", "models", "tests", "vendor")
FENCES = re.compile(
    r"^```sh run\n(?P<command>.*?)^```$(?:\n+^```(?P<kind>json|text) output\n(?P<output>.*?)^```$)?", re.M | re.S
)
TOLERANCE = 0.005
SECONDS = 300


# By itself curl succeeds at 404 too.
PRELUDE = 'set -euo pipefail\ncurl() { command curl --fail-with-body "$@"; }\n'


@dataclass
class Block:
    """A command block and what should come of it."""

    page: Path
    line: int
    command: str
    kind: str | None
    output: str | None


def pages(root: Path) -> list[Path]:
    """README first: its blocks are those that most people try."""
    return [root / "README.md", *sorted((root / "docs").glob("*.md"))]


def blocks(page: Path) -> list[Block]:
    """The blocks of a page that are to be run, in order."""
    text = page.read_text()
    found = [
        Block(page, text[: match.start()].count("\n") + 1, match["command"], match["kind"], match["output"])
        for match in FENCES.finditer(text)
    ]
    if text.count("```sh run") != len(found):
        sys.exit(f"{page}: a block tagged `sh run` does not begin its line")
    return found


def png(colour: tuple[int, int, int], side: int) -> bytes:
    """A square of one colour."""
    rows = (b"\0" + bytes(colour) * side) * side
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ]
    made = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + made


def draw(folder: Path, images: int) -> None:
    """Labelled images of two classes: reds are boots, blues are sandals."""
    for name, place in (("boots", 0), ("sandals", 2)):
        (folder / name).mkdir(parents=True)
        for number in range(images):
            colour = [20 + number, 20 + number, 20 + number]
            colour[place] = 200 + 5 * number
            (folder / name / f"{number}.png").write_bytes(png(tuple(colour), 40 + number))


def same(found: object, expected: object) -> bool:
    """Whether two JSON values are equal, numbers within the tolerance."""
    if isinstance(found, dict) and isinstance(expected, dict):
        return found.keys() == expected.keys() and all(same(found[key], expected[key]) for key in found)
    if isinstance(found, list) and isinstance(expected, list):
        return len(found) == len(expected) and all(same(a, b) for a, b in zip(found, expected))
    if isinstance(found, float) or isinstance(expected, float):
        return abs(found - expected) <= TOLERANCE
    return found == expected


def shown(value: object) -> object:
    """A JSON value with its scores rounded as pages show them."""
    if isinstance(value, dict):
        return {key: shown(one) for key, one in value.items()}
    if isinstance(value, list):
        return [shown(one) for one in value]
    return round(value, 3) if isinstance(value, float) else value


class Workplace:
    """A folder that looks like the repository."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.root, self.folder = root, folder
        self.adapters = folder / "adapters"
        shutil.copytree(root / "adapters", self.adapters, ignore=shutil.ignore_patterns("__pycache__", ".mimi-packs"))
        for name in LINKED:
            if (root / name).exists():
                (folder / name).symlink_to(root / name)
        draw(folder / "my-images", 6)
        draw(folder / "my-test-images", 2)

    def run_all(self, port: int, binary: Path, update: bool = False) -> int:
        """Runs the blocks of every page; gives how many."""
        (self.folder / "target" / "release").mkdir(parents=True, exist_ok=True)
        server = self.folder / "target" / "release" / "server"
        server.unlink(missing_ok=True)
        server.symlink_to(binary.resolve())
        count = 0
        for page in pages(self.root):
            # A page's blocks belong together; tasks of another page are in no one's way.
            shutil.rmtree(self.adapters / "shoes", ignore_errors=True)
            for block in blocks(page):
                self.run(block, port, update)
                count += 1
        return count

    def run(self, block: Block, port: int, update: bool) -> None:
        """Runs one block; a failure or another output ends the process."""
        name = f"{block.page.relative_to(self.root)}:{block.line}"
        print(f"-- {name}", flush=True)
        command = PRELUDE + block.command.replace("127.0.0.1:8080", f"127.0.0.1:{port}")
        for client in ("examples/client.py", "examples/client.mjs"):
            command = command.replace(f"{client} ", f"{client} --server http://127.0.0.1:{port} ")
        done = subprocess.run(
            ["bash", "-c", command], cwd=self.folder, stdout=subprocess.PIPE, text=True, timeout=SECONDS
        )
        if done.returncode != 0:
            sys.exit(f"{name}: status {done.returncode}\n{done.stdout}")
        if block.output is None:
            return
        if update:
            self.write(block, done.stdout)
        elif block.kind == "json" and not same(json.loads(done.stdout), json.loads(block.output)):
            sys.exit(f"{name} prints\n{done.stdout}\nand not\n{block.output}")
        elif block.kind == "text" and done.stdout.strip() != block.output.strip():
            sys.exit(f"{name} prints\n{done.stdout}\nand not\n{block.output}")

    def write(self, block: Block, printed: str) -> None:
        """Puts what a block printed into its page."""
        if block.kind == "json":
            # A line for each prediction and each result.
            if "error" in json.loads(printed):
                sys.exit(f"{block.page}:{block.line}: {printed}")
            printed = re.sub(r"(\[|,) ?(?=\{)", r"\1\n  ", json.dumps(shown(json.loads(printed))))
        text = block.page.read_text()
        old = f"{block.command}```\n\n```{block.kind} output\n{block.output}```"
        new = f"{block.command}```\n\n```{block.kind} output\n{printed.strip()}\n```"
        block.page.write_text(text.replace(old, new))


def main() -> None:
    root = Path(__file__).resolve().parent.parent
    with tempfile.TemporaryDirectory() as folder:
        place = Workplace(root, Path(folder))
        print(place.run_all(int(sys.argv[1]), root / "target" / "release" / "server", "--update" in sys.argv[2:]))


if __name__ == "__main__":
    main()
