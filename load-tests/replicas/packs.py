"""Versions of tasks, as files and as what lies in a store: a head that prefers one class, whatever the image.

A version tells which class must come first, and its digest is known here. So an answer that is made of two versions
cannot look like one.
"""

import hashlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Dict

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from folder import CONFIG, LOGIT, WEIGHTS, version_files  # noqa: E402

BUCKET, PREFIX = "packs", "prod"


def name(number: int) -> str:
    """A task's id."""
    return f"t{number:06}"


@dataclass
class Version:
    """A version's two files, and its one file."""

    files: Dict[str, bytes]
    favourite: str

    def archive(self) -> bytes:
        """The `.mipack`: ustar, two files of nobody, from 1970."""
        out = b"".join(entry(name, self.files[name]) for name in (CONFIG, WEIGHTS))
        return out + bytes(1024)

    def digest(self) -> str:
        """What an answer's x-mimi-pack says: manifest, then the digest of the weights."""
        weights = hashlib.sha256(self.files[WEIGHTS]).hexdigest().encode()
        return hashlib.sha256(self.files[CONFIG] + weights).hexdigest()

    def write(self, folder: Path) -> Path:
        """Puts the two files into a folder."""
        folder.mkdir(parents=True)
        for file, content in self.files.items():
            (folder / file).write_bytes(content)
        return folder


def entry(file: str, content: bytes) -> bytes:
    """A file in a tar archive."""
    head = bytearray(512)
    fields = [(0, file), (100, "0000644"), (108, "0000000"), (116, "0000000"), (124, f"{len(content):011o}"),
              (136, "00000000000"), (148, "        "), (156, "0"), (257, "ustar"), (263, "00")]
    for at, text in fields:
        head[at : at + len(text)] = text.encode()
    head[148:156] = f"{sum(head):06o}\0 ".encode()
    return bytes(head) + content + bytes(-len(content) % 512)


class Maker:
    """Makes versions for a backbone."""

    def __init__(self, backbone: Path, classes: int = 10) -> None:
        self.config = json.loads((backbone / "config.json").read_text())
        self.classes = classes

    def favourite(self, number: int, version: int) -> int:
        return (number * 7 + version) % self.classes

    def make(self, number: int, version: int) -> Version:
        """A version of a task."""
        favourite = self.favourite(number, version)
        bias = [LOGIT if c == favourite else 0.0 for c in range(self.classes)]
        files = version_files(self.config, bias, bias, f"{name(number)} {version}")
        return Version(files, f"class-{favourite}")


def objects(number: int, blob: bytes) -> Dict[str, bytes]:
    """What a store holds of a task whose first version has these bytes: the blob and the pointer."""
    digest = hashlib.sha256(blob).hexdigest()
    shard = hashlib.sha256(name(number).encode()).hexdigest()[:2]
    pointer = {"format": 1, "task": name(number), "seq": 1, "labels": {"stable": 1},
               "versions": {"1": {"digest": digest, "bytes": len(blob)}}}
    return {f"{PREFIX}/blobs/{digest[:2]}/{digest}.mipack": blob,
            f"{PREFIX}/tasks/{shard}/{name(number)}.json": json.dumps(pointer).encode()}
