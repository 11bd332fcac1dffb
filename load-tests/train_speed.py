#!/usr/bin/env python3
"""Compares a training step of `server train-task` with the same step in PyTorch and timm.

    python3 load-tests/train_speed.py --models models --backbone dinov2-s-112
    python3 load-tests/train_speed.py ... --rounds 1 --steps 1       a smoke run

The step: a batch of 32 images through a frozen DINOv2-S at 112 pixels with adapters behind both sub-layers of
its blocks, cross-entropy, gradients of adapters and head, clipping at 5, AdamW. PyTorch's model is timm's
architecture with random weights, which cost the same; it runs eagerly in fp32. Each side runs the whole batch at
once and in parts of --micro-batch, and the faster of the two counts. Both know that nothing below the lowest adapter needs
a gradient.

Three settings: all 24 adapters at sigma 8, as in the first cycle; sigma 64 with the sites of LEFT_OUT removed, as
late cycles are; and that again with what lies below the lowest adapter computed once and kept, which
`server train-task` does without augmentation and the plain PyTorch loop does not.

Each measurement is a process of its own; the contenders take turns, and what is compared are medians over all
steps of all rounds. Needs torch and timm for the PyTorch side.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CLASSES = 10
IMAGE_SIZE = 112
# What a pruning of MiMi leaves out first (docs/method.md section 4): the early blocks, and some later sites.
LEFT_OUT = [f"blocks.{block}.{place}" for block in range(4) for place in ("attn", "mlp")] + ["blocks.5.attn", "blocks.6.attn"]
SETTINGS = [
    ("sigma 8, 24 adapters", 8.0, [], False),
    (f"sigma 64, {24 - len(LEFT_OUT)} adapters", 64.0, LEFT_OUT, False),
    (f"sigma 64, {24 - len(LEFT_OUT)} adapters, prefix kept", 64.0, LEFT_OUT, True),
]


def torch_steps(args: argparse.Namespace) -> None:
    """The PyTorch side: times steps and prints each as a line of JSON, like `server bench --train`."""
    import timm
    import torch
    from torch import nn
    from torch.nn import functional

    torch.manual_seed(0)
    torch.set_num_threads(args.threads)

    class Adapter(nn.Module):
        def __init__(self, width: int, neurons: int) -> None:
            super().__init__()
            self.down = nn.Linear(width, neurons, bias=False)
            self.up = nn.Linear(neurons, width, bias=False)
            nn.init.normal_(self.down.weight, std=0.02)
            nn.init.normal_(self.up.weight, std=0.02)

        def forward(self, h):
            return h + self.up(functional.gelu(self.down(h)))

    model = timm.create_model("vit_small_patch14_dinov2", img_size=IMAGE_SIZE, num_classes=0).eval()
    model.requires_grad_(False)
    head = nn.Linear(model.embed_dim, CLASSES)
    matrices, vectors = [head.weight], [head.bias]
    for index, block in enumerate(model.blocks):
        for place, scale in (("attn", "ls1"), ("mlp", "ls2")):
            if f"blocks.{index}.{place}" not in args.leave_out:
                adapter = Adapter(model.embed_dim, max(1, int(model.embed_dim / args.sigma)))
                setattr(block, scale, nn.Sequential(getattr(block, scale), adapter))
                matrices += [adapter.down.weight, adapter.up.weight]
    groups = [{"params": matrices, "weight_decay": 0.05}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-3)
    pixels = 2 * torch.rand(args.batch, 3, IMAGE_SIZE, IMAGE_SIZE) - 1
    classes = torch.arange(args.batch) % CLASSES

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        for part, wanted in zip(pixels.split(args.micro_batch), classes.split(args.micro_batch), strict=True):
            loss = functional.cross_entropy(head(model(part)), wanted, reduction="sum") / args.batch
            loss.backward()
        nn.utils.clip_grad_norm_(matrices + vectors, 5.0)
        optimizer.step()

    step()
    for _ in range(args.steps):
        started = time.perf_counter()
        step()
        seconds = time.perf_counter() - started
        print(json.dumps({"seconds": seconds, "images_per_second": args.batch / seconds}), flush=True)


def measured(command: list[str]) -> list[float]:
    """Images a second of each step that a process timed."""
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return [json.loads(line)["images_per_second"] for line in done.stdout.splitlines() if line.startswith("{")]


def contenders(args: argparse.Namespace, sigma: float, left_out: list[str], kept: bool) -> dict[str, list[str]]:
    """The commands of one setting by name."""
    common = ["--sigma", str(sigma), "--batch", str(args.batch), "--threads", str(args.threads)]
    if left_out:
        common += ["--leave-out", ",".join(left_out)]
    ours = [str(args.server), "bench", "--train", *common, "--rounds", str(args.steps)]
    ours += ["--models", str(args.models), "--backbone", args.backbone] + (["--kept"] if kept else [])
    theirs = [args.python, __file__, "--only-torch", *common, "--steps", str(args.steps)]
    sizes = {"whole batch": args.batch, f"parts of {args.micro_batch}": args.micro_batch}
    sides = {"server": ours, "PyTorch": theirs}
    return {
        f"{who}, {what}": [*command, "--micro-batch", str(size)]
        for who, command in sides.items()
        for what, size in sizes.items()
    }


def compare(args: argparse.Namespace) -> None:
    for name, sigma, left_out, kept in SETTINGS:
        commands = contenders(args, sigma, left_out, kept)
        rates: dict[str, list[float]] = {who: [] for who in commands}
        for turn in range(args.rounds):
            # Each goes first as often as the others.
            order = list(commands)
            order = order[turn % len(order) :] + order[: turn % len(order)]
            for who in order:
                print(f"{name}, round {turn + 1} of {args.rounds}: {who}", file=sys.stderr, flush=True)
                rates[who] += measured(commands[who])
        medians = {who: statistics.median(values) for who, values in rates.items()}
        print(name)
        for who, values in rates.items():
            spread = f"{min(values):.2f} to {max(values):.2f}"
            print(f"  {who:<24} {medians[who]:8.2f} images/s   ({len(values)} steps, {spread})")
        ours, theirs = (max(r for who, r in medians.items() if who.startswith(side)) for side in ("server", "PyTorch"))
        print(f"  {'server / PyTorch, best':<24} {ours / theirs:8.2f}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--server", type=Path, default=ROOT / "target" / "release" / "server")
    parser.add_argument("--models", type=Path, default=ROOT / "models")
    parser.add_argument("--backbone", default="dinov2-s-112", help="DINOv2-S imported with --image-size 112")
    parser.add_argument("--python", default=sys.executable, help="the Python that has torch and timm")
    parser.add_argument("--rounds", type=int, default=5, help="processes of each contender")
    parser.add_argument("--steps", type=int, default=6, help="timed steps in each process")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--micro-batch", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only-torch", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--sigma", type=float, default=8.0, help=argparse.SUPPRESS)
    parser.add_argument("--leave-out", type=lambda text: text.split(","), default=[], help=argparse.SUPPRESS)
    args = parser.parse_args()
    (torch_steps if args.only_torch else compare)(args)
    return 0


if __name__ == "__main__":
    sys.exit(main())
