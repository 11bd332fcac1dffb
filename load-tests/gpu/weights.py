#!/usr/bin/env python3
"""Writes a ViT of a given shape with random weights, under timm's names, as safetensors.

    python3 load-tests/gpu/weights.py --size vit-b16 random.safetensors

For measuring where real weights cannot be brought: what a product costs does not depend on the numbers in it.
Matrices are drawn from one pool of numbers over and over, each from another place on; that takes a second where
drawing each number takes a minute. Standard library only.
"""

import argparse
import json
import os
import random
from array import array
from math import prod, sqrt
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Tuple

# A prime, so that no matrix's rows repeat one another.
POOL = 1_048_573
# Standard deviation of what is not a matrix.
SMALL = 0.02


class Shape(NamedTuple):
    """A ViT's shape; heads are 64 wide."""

    image: int
    patch: int
    width: int
    depth: int

    @property
    def mlp(self) -> int:
        """Width of the MLP's hidden layer."""
        return 4 * self.width

    @property
    def tokens(self) -> int:
        """Patches and the class token."""
        return (self.image // self.patch) ** 2 + 1

    @property
    def parameters(self) -> int:
        """Numbers in all tensors."""
        return sum(prod(shape) for _, shape in tensors(self))


SIZES = {
    "vit-b16": Shape(image=224, patch=16, width=768, depth=12),
    "small": Shape(image=64, patch=16, width=64, depth=4),
}


def linear(name: str, inputs: int, outputs: int) -> List[Tuple[str, List[int]]]:
    """The two tensors of a linear layer."""
    return [(f"{name}.weight", [outputs, inputs]), (f"{name}.bias", [outputs])]


def norm(name: str, width: int) -> List[Tuple[str, List[int]]]:
    """The two tensors of a layer norm."""
    return [(f"{name}.weight", [width]), (f"{name}.bias", [width])]


def tensors(shape: Shape) -> Iterator[Tuple[str, List[int]]]:
    """Names and shapes, as timm's `VisionTransformer` has them."""
    width = shape.width
    yield "cls_token", [1, 1, width]
    yield "pos_embed", [1, shape.tokens, width]
    yield "patch_embed.proj.weight", [width, 3, shape.patch, shape.patch]
    yield "patch_embed.proj.bias", [width]
    for block in range(shape.depth):
        name = f"blocks.{block}"
        yield from norm(f"{name}.norm1", width)
        yield from linear(f"{name}.attn.qkv", width, 3 * width)
        yield from linear(f"{name}.attn.proj", width, width)
        yield from norm(f"{name}.norm2", width)
        yield from linear(f"{name}.mlp.fc1", width, shape.mlp)
        yield from linear(f"{name}.mlp.fc2", shape.mlp, width)
    yield from norm("norm", width)


def pool(source: random.Random) -> array:
    """Numbers of mean 0 and deviation 1, evenly spread."""
    bound = sqrt(3)
    return array("f", (source.uniform(-bound, bound) for _ in range(POOL)))


class Source:
    """Numbers for tensors, from one pool that is kept at every scale asked for."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.pools = {1.0: pool(self.random)}

    def scaled(self, scale: float) -> array:
        """The pool with deviation `scale`."""
        if scale not in self.pools:
            self.pools[scale] = array("f", [scale * number for number in self.pools[1.0]])
        return self.pools[scale]

    def tensor(self, name: str, shape: List[int]) -> array:
        """The numbers of one tensor: matrices keep the size of what they multiply, norms scale by about 1."""
        matrix = len(shape) in (2, 4)
        drawn = self.scaled(1 / sqrt(prod(shape[1:])) if matrix else SMALL)
        start, count, numbers = self.random.randrange(POOL), prod(shape), array("f")
        while len(numbers) < count:
            part = drawn[start : start + count - len(numbers)]
            numbers.extend(part)
            start = (start + len(part)) % POOL
        if "norm" in name and name.endswith("weight"):
            numbers = array("f", [1.0 + number for number in numbers])
        return numbers


def header(shape: Shape) -> bytes:
    """What safetensors begins with: a length, and where each tensor lies."""
    at, entries = 0, {}  # type: Tuple[int, Dict[str, object]]
    for name, sizes in tensors(shape):
        end = at + 4 * prod(sizes)
        entries[name] = {"dtype": "F32", "shape": sizes, "data_offsets": [at, end]}
        at = end
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def write(path: Path, shape: Shape, seed: int = 0) -> None:
    """Writes the checkpoint beside and renames it."""
    source = Source(seed)
    beside = path.with_name(path.name + ".partial")
    with open(beside, "wb") as file:
        file.write(header(shape))
        for name, sizes in tensors(shape):
            source.tensor(name, sizes).tofile(file)
    os.replace(beside, path)


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="vit-b16")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("path", type=Path)
    args = parser.parse_args()
    write(args.path, SIZES[args.size], args.seed)
    print(f"{args.path}: {SIZES[args.size].parameters:,} random numbers")


if __name__ == "__main__":
    main()
