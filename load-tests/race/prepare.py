"""What all contenders share, made once in the work folder: backbone, packs, model files, images, packs of links."""

import io
import json
import subprocess
from pathlib import Path

import packs
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent.parent
# Long side and quality of the images: what a telephone's picture is after an app has shrunk it.
LONG_SIDE, QUALITY, IMAGES = 640, 90, 16


def prepare(args, work: Path) -> list[bytes]:
    """Makes what is missing and gives the images."""
    work.mkdir(parents=True, exist_ok=True)
    backbone = work / "models" / args.backbone
    if not backbone.exists():
        # Imported afresh, so that `backbone.onnx` is the graph this server runs and not an older one.
        command = [args.server, "import-backbone", "--weights", args.weights, "--name", args.backbone]
        subprocess.run([*map(str, command), "--models", str(work / "models")], cwd=ROOT, check=True)
    config = json.loads((backbone / "config.json").read_text())
    folder = packs.Folder(backbone, work / "onnx")
    for index in range(max(args.tasks)):
        packs.write_pack(work / "packs", index, config, args.width)
        if not (work / "onnx" / f"{packs.name(index)}.onnx").exists():
            folder.write(packs.name(index), packs.read_pack(work / "packs", index))
    return images(args.images, work / "images")


def images(source: Path, target: Path) -> list[bytes]:
    """JPEG files of some pictures of a labelled folder."""
    target.mkdir(exist_ok=True)
    found = sorted(source.rglob("*.png"))
    for number, path in enumerate(found[:: max(1, len(found) // IMAGES)][:IMAGES]):
        with Image.open(path) as image:
            scale = LONG_SIDE / max(image.size)
            size = [round(side * scale) for side in image.size]
            written = io.BytesIO()
            image.convert("RGB").resize(size, Image.Resampling.BICUBIC).save(written, "JPEG", quality=QUALITY)
        (target / f"{number:02}.jpg").write_bytes(written.getvalue())
    return [path.read_bytes() for path in sorted(target.iterdir())]


def lossless(image: bytes) -> bytes:
    """The same picture as PNG. Decoders of JPEG differ in how they widen colour; of PNG they cannot."""
    written = io.BytesIO()
    Image.open(io.BytesIO(image)).save(written, "PNG")
    return written.getvalue()
