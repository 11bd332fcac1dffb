#!/usr/bin/env python3
"""Contender: PyTorch and timm with adapters switched per request, behind LitServe with its batching.

Every pack is read at the start. Rows of one batch that belong to one task run together; each task of a batch has its
adapters put in before its rows run.
"""

import argparse
import base64
import json
from pathlib import Path

import litserve
import timm
from packs import name, read_pack, sites
from preprocess import pixels
from safetensors.torch import load_file

import torch
from torch import nn


class Adapter(nn.Module):
    """`h + up · act(down · h)` with whatever weights were put in last."""

    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        self.activation = activation
        self.down = self.up = torch.empty(0)

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        return h + nn.functional.linear(self.activation(nn.functional.linear(h, self.down)), self.up)


def timm_weights(weights: dict[str, torch.Tensor], depth: int) -> dict[str, torch.Tensor]:
    """The backbone's tensors under timm's names: linear weights turned, queries, keys and values joined."""
    turned = {}
    for key, value in weights.items():
        matrix = key.endswith(".weight") and value.dim() == 2 and "norm" not in key
        turned[key] = value.T.contiguous() if matrix else value
    for block in range(depth):
        for kind in ("weight", "bias"):
            parts = [turned.pop(f"blocks.{block}.attn.{part}_proj.{kind}") for part in "qkv"]
            turned[f"blocks.{block}.attn.qkv.{kind}"] = torch.cat(parts)
    return turned


def model(backbone: Path, config: dict) -> tuple[nn.Module, dict[str, Adapter]]:
    """timm's model with the backbone's weights, and its adapters by site."""
    made = timm.create_model("vit_base_patch16_clip_quickgelu_224", num_classes=0).eval()
    made.load_state_dict(timm_weights(load_file(backbone / "backbone.safetensors"), config["depth"]), assign=True)
    adapters = {}
    for index, block in enumerate(made.blocks):
        for place, scale in (("attn", "ls1"), ("mlp", "ls2")):
            adapter = Adapter(type(block.mlp.act)())
            setattr(block, scale, adapter)
            adapters[f"blocks.{index}.{place}"] = adapter
    assert list(adapters) == sites(config)
    return made, adapters


class Classify(litserve.LitAPI):
    """One process that owns the model."""

    def configure(self, args: argparse.Namespace) -> "Classify":
        self.args = args
        return self

    def setup(self, device: str) -> None:
        torch.set_num_threads(self.args.threads)
        self.config = json.loads((self.args.backbone / "config.json").read_text())
        self.model, self.adapters = model(self.args.backbone, self.config)
        packs = (read_pack(self.args.packs, index) for index in range(self.args.tasks))
        tensors = lambda pack: {key: torch.from_numpy(value) for key, value in pack.items()}
        self.packs = {name(index): tensors(pack) for index, pack in enumerate(packs)}

    def decode_request(self, request: dict) -> tuple[str, torch.Tensor]:
        jpeg = base64.b64decode(request["image"])
        return request["task"], torch.from_numpy(pixels(jpeg, self.config))

    def batch(self, inputs: list) -> list:
        return inputs

    def unbatch(self, output: list) -> list:
        return output

    def predict(self, rows: list) -> list[list[float]]:
        by_task: dict[str, list[int]] = {}
        for row, (task, _) in enumerate(rows):
            by_task.setdefault(task, []).append(row)
        answers: list = [None] * len(rows)
        for task, members in by_task.items():
            logits = self.logits(task, torch.stack([rows[row][1] for row in members]))
            for row, own in zip(members, logits.tolist(), strict=True):
                answers[row] = own
        return answers

    @torch.inference_mode()
    def logits(self, task: str, images: torch.Tensor) -> torch.Tensor:
        pack = self.packs[task]
        for site, adapter in self.adapters.items():
            adapter.down = pack[f"{site}.adapter.down.weight"]
            adapter.up = pack[f"{site}.adapter.up.weight"]
        return nn.functional.linear(self.model(images), pack["head.weight"], pack["head.bias"])

    def encode_response(self, output: list[float]) -> dict:
        return {"logits": output}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--backbone", type=Path, required=True)
    parser.add_argument("--packs", type=Path, required=True)
    parser.add_argument("--tasks", type=int, required=True, help="packs to read")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=4)
    args = parser.parse_args()
    api = Classify(max_batch_size=args.batch, batch_timeout=0.002).configure(args)
    server = litserve.LitServer(api, accelerator="cpu", timeout=120)
    server.run(host="127.0.0.1", port=args.port, generate_client_file=False, log_level="warning")


if __name__ == "__main__":
    main()
