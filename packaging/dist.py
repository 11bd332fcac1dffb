"""Makes dist/: the wheel, an archive of the same binary, and SHA256SUMS of both.

maturin builds the wheel; the archive's binary is the wheel's. Standard library only, but for maturin:
    python3 packaging/dist.py --maturin PATH
"""

import argparse
import gzip
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "dist"
THIRD_PARTY = ROOT / "packaging" / "python" / "mimi_server" / "THIRD-PARTY.txt"
# What stands beside the binary and the notices, as git's patterns; of folders only what git tracks.
CONTENT = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT", "adapters/*/*", "docs", "models/README.md", "models/fetch.py"]
CONTENT += ["tests/images"]


def run(*command: str) -> str:
    """What a command prints; its failure is ours."""
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def write_notices() -> None:
    """Writes the licences of what is linked in, where maturin includes them."""
    THIRD_PARTY.write_text(run(sys.executable, "packaging/notices.py"))


def build_wheel(maturin: str) -> Path:
    """The one wheel in a new dist/."""
    shutil.rmtree(DIST, ignore_errors=True)
    run(maturin, "build", "--release", "--locked", "--out", str(DIST))
    (wheel,) = DIST.glob("*.whl")
    return wheel


def unpack_binary(wheel: Path, target: Path) -> None:
    """Takes `server` out of the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        (member,) = (name for name in archive.namelist() if name.endswith(".data/scripts/server"))
        target.write_bytes(archive.read(member))
    target.chmod(0o755)


def version_of(binary: Path) -> str:
    """`0.1.0`, as the binary says."""
    return run(str(binary), "--version").split()[-1]


def files() -> list:
    """What goes into the archive besides what is built, as git tracks it."""
    return [ROOT / name for name in run("git", "ls-files", "-z", *CONTENT).split("\0") if name]


def commit_time() -> int:
    """Seconds of the last commit, or SOURCE_DATE_EPOCH: one commit makes one archive."""
    return int(os.environ.get("SOURCE_DATE_EPOCH") or run("git", "log", "-1", "--format=%ct"))


def write_archive(binary: Path) -> Path:
    """Packs one folder, the same bytes for the same content."""
    name = f"mimi-server-{version_of(binary)}-linux-{platform.machine()}"
    seconds = commit_time()

    def plain(info: tarfile.TarInfo) -> tarfile.TarInfo:
        info.uid = info.gid = 0
        info.uname = info.gname = "root"
        info.mtime = seconds
        info.mode = 0o755 if info.mode & 0o100 else 0o644
        return info

    path = DIST / f"{name}.tar.gz"
    with open(path, "wb") as raw, gzip.GzipFile("", "wb", mtime=seconds, fileobj=raw) as packed:
        with tarfile.open(fileobj=packed, mode="w") as archive:
            archive.add(binary, f"{name}/server", filter=plain)
            archive.add(THIRD_PARTY, f"{name}/THIRD-PARTY.txt", filter=plain)
            for file in files():
                archive.add(file, f"{name}/{file.relative_to(ROOT)}", filter=plain)
    return path


def write_sums(paths: list) -> None:
    """Writes SHA256SUMS, for `sha256sum --check`."""
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in paths]
    (DIST / "SHA256SUMS").write_text("".join(lines))


def main() -> None:
    """Builds and packs; prints what it made."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--maturin", default="maturin", help="the program maturin")
    args = parser.parse_args()
    write_notices()
    wheel = build_wheel(args.maturin)
    with tempfile.TemporaryDirectory() as folder:
        binary = Path(folder) / "server"
        unpack_binary(wheel, binary)
        archive = write_archive(binary)
    write_sums([wheel, archive])
    for path in (wheel, archive):
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
