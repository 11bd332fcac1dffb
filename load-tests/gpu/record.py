"""What was measured, in one JSON file that is whole at every moment, so that a run goes on where another ended."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any, Dict, Optional


def sha256(path: Path) -> str:
    """Digest of a file."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for chunk in iter(lambda: file.read(1 << 20), b""):
            digest.update(chunk)
    return digest.hexdigest()


def write(path: Path, text: str) -> None:
    """Writes a file beside and renames it."""
    beside = path.with_name(path.name + ".partial")
    with open(beside, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)


class Record:
    """The results of every part so far, of one machine and one build."""

    def __init__(self, path: Path, identity: Dict[str, str]) -> None:
        self.path, self.identity = path, identity
        self.parts: Dict[str, Any] = {}
        #: Why earlier results were set aside, if they were.
        self.set_aside: Optional[str] = None
        if path.exists():
            self.take(json.loads(path.read_text(encoding="utf-8")))

    def take(self, earlier: Dict[str, Any]) -> None:
        """Goes on from earlier results, or sets them aside where they are of something else."""
        was = earlier["identity"]
        differing = [key for key in self.identity if was.get(key) != self.identity[key]]
        if not differing:
            self.parts = earlier["parts"]
            return
        aside = self.path.with_name("results.previous.json")
        os.replace(self.path, aside)
        self.set_aside = f"{', '.join(differing)} changed: earlier results are in {aside}"

    def keep(self, name: str, result: Dict[str, Any]) -> None:
        """Adds a part's result."""
        self.parts[name] = result
        whole = {"identity": self.identity, "parts": self.parts}
        write(self.path, json.dumps(whole, indent=1, allow_nan=False) + "\n")
