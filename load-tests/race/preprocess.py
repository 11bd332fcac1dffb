"""Preprocessing as Python servers do it: Pillow's decoder and bicubic resizing, then numpy."""

import io

import numpy
from PIL import Image


def pixels(jpeg: bytes, config: dict) -> numpy.ndarray:
    """`[3, S, S]` of an encoded image, by a backbone's `config.json` (short side, then centre crop)."""
    wanted = config["preprocessing"]
    side, short = wanted["image_size"], wanted["resize"]["short_side_then_crop"]["resize_to"]
    image = Image.open(io.BytesIO(jpeg)).convert("RGB")
    width, height = image.size
    scale = short / min(width, height)
    size = (short, int(height * scale)) if width <= height else (int(width * scale), short)
    image = image.resize(size, Image.Resampling.BICUBIC)
    left, top = round((size[0] - side) / 2), round((size[1] - side) / 2)
    image = image.crop((left, top, left + side, top + side))
    scaled = numpy.asarray(image, numpy.float32) / 255
    mean, std = (numpy.asarray(wanted[key], numpy.float32) for key in ("mean", "std"))
    return numpy.ascontiguousarray(((scaled - mean) / std).transpose(2, 0, 1))
