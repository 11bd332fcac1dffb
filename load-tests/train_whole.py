#!/usr/bin/env python3
"""Compares a whole MiMi training with the same in PyTorch and timm, from image files to measured test images.

    python3 load-tests/train_whole.py --models M --backbone dinov2-small-56 --data flowers102
    python3 load-tests/train_whole.py ... --rounds 1 --epochs 1       a smoke run

--data has train/CLASS/IMAGE and test/CLASS/IMAGE. Both sides decode and resize the images, draw 8 variants of each training
image (crops of half to all of the area, flips), and keep what the frozen blocks before --first-block give for them. Then they
train adapters behind both sub-layers of the other blocks four times, and cut half of all neurons after each of the first three.
Loss: cross-entropy; AdamW, cosine schedule, drop path 0.1, batches of 32. After every epoch they measure the test images, of
which they keep what the frozen blocks give, too.

PyTorch's model is timm's architecture with random weights, which cost the same; it runs eagerly in fp32 and cuts matrices
down to the neurons that are left. As many processes as there are threads decode its images. Its start, imports, model and
processes are not timed; the server's start, and the writing of its pack and report, are. In turns; medians. Bars: 1.5 for the
whole, 1.3 for a step of the first training, where the server's is what its progress tells.

Needs torch, timm and Pillow for the PyTorch side.
"""

import argparse
import json
import math
import multiprocessing
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WHOLE, STEP = 1.5, 1.3
CYCLES, BATCH, VARIANTS, RATE, DROP_PATH = 4, 32, 8, 1e-3, 0.1


class Images:
    """The files of a folder of classes, as pixels, made by a pool of processes."""

    def __init__(self, folder: Path, side: int, pool) -> None:
        self.side, self.pool = side, pool
        names = sorted(one.name for one in folder.iterdir())
        self.files = [(file, number) for number, name in enumerate(names) for file in sorted((folder / name).iterdir())]
        self.classes = len(names)

    def plain(self):
        return self.made([(file, self.side, None) for file, _ in self.files])

    def variant(self, random):
        """One crop and flip of every image."""
        return self.made([(file, self.side, random.random()) for file, _ in self.files])

    def made(self, wanted):
        import numpy as np
        import torch

        return torch.from_numpy(np.stack(self.pool.map(pixels, wanted, chunksize=16))).permute(0, 3, 1, 2).contiguous()


def pixels(wanted):
    """One image `[S, S, 3]`; with a seed, a crop and perhaps a flip of it."""
    import random

    import numpy as np
    from PIL import Image, ImageOps

    file, side, seed = wanted
    image = Image.open(file).convert("RGB")
    if seed is not None:
        chance = random.Random(seed)
        share, ratio = chance.uniform(0.5, 1.0), math.exp(chance.uniform(math.log(3 / 4), math.log(4 / 3)))
        area = share * image.width * image.height
        width, height = min(image.width, round(math.sqrt(area * ratio))), min(image.height, round(math.sqrt(area / ratio)))
        left, top = chance.randint(0, image.width - width), chance.randint(0, image.height - height)
        image = image.crop((left, top, left + width, top + height))
        image = ImageOps.mirror(image) if chance.random() < 0.5 else image
    return np.asarray(image.resize((side, side), 3), dtype=np.float32) / 127.5 - 1


def torch_side(args: argparse.Namespace) -> None:
    """The PyTorch side: prints its seconds, and those of a step of the first training."""
    import random

    import timm
    import torch
    from torch import nn
    from torch.nn import functional

    torch.manual_seed(0)
    torch.set_num_threads(args.threads)
    # Begun before the clock, as imports are: one process a thread, since Python decodes in one thread alone.
    pool = multiprocessing.get_context("spawn").Pool(args.threads)
    train, test = (Images(args.data / part, args.side, pool) for part in ("train", "test"))
    pool.map(pixels, [(file, args.side, None) for file, _ in train.files[: args.threads]], chunksize=1)
    model = timm.create_model("vit_small_patch14_dinov2", img_size=args.side, num_classes=0, drop_path_rate=DROP_PATH)
    model.requires_grad_(False)

    class Adapter(nn.Module):
        def __init__(self, neurons: int) -> None:
            super().__init__()
            self.down = nn.Parameter(0.01 * torch.randn(neurons, model.embed_dim))
            self.up = nn.Parameter(torch.zeros(neurons, model.embed_dim))

        def forward(self, h):
            return h + functional.gelu(h @ self.down.T) @ self.up if len(self.down) else h

        def scores(self):
            return (self.down.abs().mean(1) + self.up.abs().mean(1)).detach()

        def keep(self, which) -> None:
            self.down, self.up = (nn.Parameter(matrix.detach()[which].clone()) for matrix in (self.down, self.up))

    first_width = round(model.embed_dim / 24)
    adapters = []
    for block in model.blocks[args.first_block :]:
        for scale in ("ls1", "ls2"):
            adapters.append(Adapter(first_width))
            setattr(block, scale, nn.Sequential(getattr(block, scale), adapters[-1]))
    head = nn.Linear(model.embed_dim, train.classes)

    @torch.inference_mode()
    def before(pixels):
        model.eval()
        parts = []
        for part in pixels.split(64):
            h = model._pos_embed(model.patch_embed(part))
            for block in model.blocks[: args.first_block]:
                h = block(h)
            parts.append(h)
        return torch.cat(parts).clone()

    def after(h):
        for block in model.blocks[args.first_block :]:
            h = block(h)
        return head(model.norm(h)[:, 0])

    started = time.perf_counter()
    chance = random.Random(0)
    kept = torch.stack([before(train.variant(chance)) for _ in range(VARIANTS)])
    wanted = torch.tensor([number for _, number in train.files])
    count, steps = len(wanted), []
    held_out, truths = before(test.plain()), torch.tensor([number for _, number in test.files])

    @torch.inference_mode()
    def measure() -> int:
        model.eval()
        pairs = zip(held_out.split(64), truths.split(64), strict=True)
        return sum(int((after(part).argmax(1) == truth).sum()) for part, truth in pairs)

    for cycle in range(CYCLES):
        matrices = [head.weight, *(m for adapter in adapters for m in (adapter.down, adapter.up) if len(m))]
        groups = [{"params": matrices, "weight_decay": 1e-4}, {"params": [head.bias], "weight_decay": 0.0}]
        optimizer = torch.optim.AdamW(groups, lr=RATE)
        total = args.epochs * math.ceil(count / BATCH)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda at: min(1, (at + 1) / (0.1 * total)) * 0.5 * (1 + math.cos(math.pi * at / total)))
        for _ in range(args.epochs):
            model.train()
            for rows in torch.randperm(count).split(BATCH):
                begun = time.perf_counter()
                h = kept[torch.randint(VARIANTS, (len(rows),)), rows]
                loss = functional.cross_entropy(after(h), wanted[rows])
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                schedule.step()
                if cycle == 0:
                    steps.append(time.perf_counter() - begun)
            right = measure()
        if cycle + 1 < CYCLES:
            scores = torch.cat([adapter.scores() for adapter in adapters])
            least = scores.sort(descending=True).values[len(scores) // 2 - 1]
            for adapter in adapters:
                adapter.keep(adapter.scores() >= least)
    seconds = time.perf_counter() - started
    pool.terminate()
    print(json.dumps({"seconds": seconds, "step": statistics.median(steps), "right": right}), flush=True)


def server_side(args: argparse.Namespace) -> tuple[float, float]:
    """Seconds of the command, and of a step of its first training."""
    with tempfile.TemporaryDirectory() as folder:
        command = [args.server, "train-task", "--task", "whole", "--data", args.data / "train", "--validation", args.data / "test", "--adapters", folder, "--models", args.models]
        command += ["--backbone", args.backbone, "--threads", args.threads, "--method", "mimi", "--first-block", args.first_block]
        command += ["--sigma-0", 24, "--sigma", 24 * 2 ** (CYCLES - 1), "--epochs", args.epochs, "--batch", BATCH, "--micro-batch", BATCH]
        command += ["--init", "identity", "--learning-rate", RATE, "--weight-decay", 1e-4, "--smoothing", 0, "--drop-path", DROP_PATH]
        command += ["--crop", 0.5, "--flip", 0.5, "--variants", VARIANTS, *args.more]
        started = time.perf_counter()
        run = subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        seconds = time.perf_counter() - started
    # The rate within an epoch, without measuring.
    rates = [float(rate) for rate in re.findall(r"^cycle 1 of .*/\d+, loss .* ([0-9.]+) images/s", run.stderr, re.M)]
    return seconds, BATCH / statistics.median(rates) if rates else math.nan


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", type=Path, default=ROOT / "target" / "release" / "server")
    parser.add_argument("--models", type=Path, default=ROOT / "models")
    parser.add_argument("--backbone", default="dinov2-small-56")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--python", default=sys.executable, help="the Python that has torch and timm")
    parser.add_argument("--first-block", type=int, default=6)
    parser.add_argument("--side", type=int, default=56)
    parser.add_argument("--epochs", type=int, default=8, help="in each of the four trainings")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--more", nargs="*", default=[], help="more options of train-task")
    parser.add_argument("--only-torch", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.only_torch:
        torch_side(args)
        return
    ratios, steps = [], []
    for turn in range(args.rounds):
        command = [args.python, __file__, "--only-torch", "--data", args.data, "--first-block", args.first_block]
        command += ["--side", args.side, "--epochs", args.epochs, "--threads", args.threads]
        theirs = json.loads(subprocess.run(list(map(str, command)), check=True, stdout=subprocess.PIPE).stdout)
        seconds, step = server_side(args)
        ratios.append(theirs["seconds"] / seconds)
        steps.append(theirs["step"] / step)
        print(f"round {turn + 1}: PyTorch {theirs['seconds']:.1f} s, {1000 * theirs['step']:.1f} ms a first step; server {seconds:.1f} s, {1000 * step:.1f} ms", flush=True)
    whole, step = statistics.median(ratios), statistics.median(steps)
    print(f"whole training {whole:.2f} times as fast, bar {WHOLE}; a first step {step:.2f} times, bar {STEP}")
    # Not a number, where no step was told, meets no bar.
    sys.exit(not (whole >= WHOLE and step >= STEP))


if __name__ == "__main__":
    main()
