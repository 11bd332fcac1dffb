#!/usr/bin/env python3
"""Times a training step in PyTorch as `server bench --train` times ours: a line of JSON a step.

A ViT with random weights, frozen; adapters of an eighth of its width behind both sub-layers of every block and a head;
cross-entropy, gradients, clipping at 5, AdamW. Eager, fp32, TF32 off. Needs torch alone.
"""

import argparse
import json
import time

import torch
from torch import nn
from torch.nn import functional

CLASSES = 10


class Adapter(nn.Module):
    """h + up(gelu(down(h)))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.down = nn.Linear(width, width // 8, bias=False)
        self.up = nn.Linear(width // 8, width, bias=False)

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        return h + self.up(functional.gelu(self.down(h)))


class Block(nn.Module):
    """A pre-norm block; heads are 64 wide."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.adapters = nn.ModuleList([Adapter(width), Adapter(width)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows, tokens, width = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(rows, tokens, 3, -1, 64).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(rows, tokens, width)
        x = x + self.adapters[0](self.proj(mixed))
        return x + self.adapters[1](self.fc2(functional.gelu(self.fc1(self.norm2(x)))))


class Vit(nn.Module):
    """Patches, a class token, blocks, a norm and a head."""

    def __init__(self, image: int, patch: int, width: int, depth: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, patch, patch)
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(0.02 * torch.randn(1, (image // patch) ** 2 + 1, width))
        self.blocks = nn.Sequential(*[Block(width) for _ in range(depth)])
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, CLASSES)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        x = self.patches(pixels).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.positions
        return self.head(self.norm(self.blocks(x)[:, 0]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--shape", type=json.loads, required=True)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=10)
    args = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.manual_seed(0)
    model = Vit(**args.shape).to(args.device)
    for name, value in model.named_parameters():
        value.requires_grad_("adapters" in name or "head" in name)
    trained = [value for value in model.parameters() if value.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-3, weight_decay=0.05)
    pixels = torch.rand(args.batch, 3, args.shape["image"], args.shape["image"], device=args.device)
    classes = torch.arange(args.batch, device=args.device) % CLASSES
    for step in range(args.steps + 1):
        started = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        functional.cross_entropy(model(pixels), classes).backward()
        nn.utils.clip_grad_norm_(trained, 5.0)
        optimizer.step()
        if args.device != "cpu":
            torch.cuda.synchronize()
        seconds = time.perf_counter() - started
        # The first one warms up.
        if step > 0:
            print(json.dumps({"seconds": seconds, "images_per_second": args.batch / seconds}), flush=True)


if __name__ == "__main__":
    main()
