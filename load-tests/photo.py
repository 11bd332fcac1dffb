"""Large JPEG files, made without a library: they cost a decoder what photographs cost."""

import random
import struct

# Symbols of both Huffman tables, each with a code of 4 bits: sizes of DC differences; zeros before a value and its size.
DC = list(range(12))
AC = [0x00, 0x01, 0x02, 0x03, 0x04, 0x11, 0x12, 0x13, 0x21, 0x22]
VALUES = 20
PIECES = 256


def value(number: int) -> str:
    """Bits of a value other than 0; its size goes before them."""
    size = abs(number).bit_length()
    return f"{number if number > 0 else number + (1 << size) - 1:0{size}b}"


def block(source: random.Random, step: int) -> str:
    """One block of 8 x 8: a step in brightness from the block before it, and some detail."""
    bits = f"{DC.index(abs(step).bit_length()):04b}" + (value(step) if step else "")
    for _ in range(VALUES):
        symbol = source.randrange(1, len(AC))
        size = AC[symbol] & 15
        bits += f"{symbol:04b}" + value(source.choice([-1, 1]) * source.randrange(1 << (size - 1), 1 << size))
    return bits + f"{AC.index(0):04b}"


def piece(source: random.Random) -> str:
    """A square of 16 pixels, after which brightness is as before: four blocks of it and one of each colour."""
    up, down = source.randrange(40), source.randrange(40)
    light = [up, -up, -down, down]
    return "".join(block(source, step) for step in light) + block(source, 0) + block(source, 0)


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def photo(width: int, height: int, seed: int) -> bytes:
    """A baseline JPEG, 4:2:0, of about 2.3 bits a pixel."""
    source = random.Random(seed)
    pieces = [piece(source) for _ in range(PIECES)]
    bits = "".join(source.choices(pieces, k=-(-width // 16) * -(-height // 16)))
    bits += "1" * (-len(bits) % 8)
    data = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\x00")
    table = lambda kind, symbols: bytes([kind, 0, 0, 0, len(symbols), *[0] * 12, *symbols])  # noqa: E731
    components = bytes([3, 1, 0x22, 0, 2, 0x11, 0, 3, 0x11, 0])
    return b"".join([
        b"\xff\xd8",
        segment(0xDB, bytes([0] + [8] * 64)),
        segment(0xC0, struct.pack(">BHH", 8, height, width) + components),
        segment(0xC4, table(0x00, DC) + table(0x10, AC)),
        segment(0xDA, bytes([3, 1, 0, 2, 0, 3, 0, 0, 63, 0])),
        data,
        b"\xff\xd9",
    ])
