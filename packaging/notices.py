"""Prints the licences of every crate that is linked into the server, for archives, wheels and images.

Reads them from cargo's own copies of the crates. Texts that differ in white space only are printed once. Standard library only.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Dict, List, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
CARGO = os.environ.get("CARGO", "cargo")
LICENCE = re.compile(r"(licen[cs]e|copying|notice|unlicense|copyright)", re.IGNORECASE)


class Crate(NamedTuple):
    """What a notice says of a crate."""

    title: str
    declared: str
    source: str
    folder: Path


def linked() -> set:
    """`name version` of the crates in the binary: normal dependencies, without macros that run at build time."""
    command = [CARGO, "tree", "--locked", "--edges", "normal,no-proc-macro", "--prefix", "none", "--format", "{p}"]
    lines = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    return {" ".join(line.split()[:2]).replace(" v", " ") for line in lines if line}


def crates() -> List[Crate]:
    """Every crate whose code is in the binary, but for our own."""
    command = [CARGO, "metadata", "--locked", "--format-version", "1"]
    told = json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)
    names, found = linked(), []
    for package in told["packages"]:
        title = f"{package['name']} {package['version']}"
        if package["source"] and title in names:
            source = package["repository"] or f"https://crates.io/crates/{package['name']}"
            folder = Path(package["manifest_path"]).parent
            found.append(Crate(title, package["license"] or "see below", source, folder))
    return sorted(found)


def texts(crate: Crate) -> List[str]:
    """The texts of its licences, as its authors packed them."""
    files = sorted(path for path in crate.folder.iterdir() if path.is_file() and LICENCE.match(path.name))
    return [path.read_text(errors="replace").strip() for path in files]


def main() -> int:
    """Prints the list, then each text under the crates that it belongs to."""
    titles_of: Dict[str, List[str]] = {}
    first: Dict[str, str] = {}
    print("mimi-server contains the following software under these licences.\n")
    print("The Rust standard library: MIT OR Apache-2.0 (https://github.com/rust-lang/rust)")
    for crate in crates():
        print(f"{crate.title}: {crate.declared} ({crate.source})")
        for text in texts(crate):
            words = " ".join(text.split())
            first.setdefault(words, text)
            titles_of.setdefault(words, []).append(crate.title)
    for words, titles in titles_of.items():
        print(f"\n{'=' * 78}\n{', '.join(titles)}\n{'-' * 78}\n{first[words]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
