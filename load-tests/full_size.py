#!/usr/bin/env python3
"""Imports published sizes with random weights and compares with the library that defines them.

    pip install torch timm transformers onnx onnxruntime==1.31.1 safetensors
    python3 load-tests/full_size.py --server target/release/server timm:swin_tiny_patch4_window7_224
    python3 load-tests/full_size.py --server ... --rounds 30 --threads 2 timm:swin_tiny_patch4_window7_224

A name is `timm:MODEL`, or one of Hugging Face's: `hf:swin_tiny`, `hf:cvt_13`, `hf:cvt_21`. Features of our exported
graph, run by Python's ONNX Runtime, are compared with PyTorch's in double precision. With `--rounds` the graph is also
timed beside the model's own ONNX export, both on the same ONNX Runtime, interleaved; seconds of the wall and of the
processor, medians and minima.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy
import onnx
import onnxruntime
import timm
import torch
import transformers
from safetensors.torch import save_file
from torch import nn


class HuggingFace(nn.Module):
    """Gives the pooled feature."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.model(pixels).pooler_output


class Cvt(HuggingFace):
    """Gives what the classifier is given."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.model.layernorm(self.model.cvt(pixels).cls_token_value)[:, 0]


# Blocks of each stage; everything else is CvtConfig's default, which is that of both.
CVT_DEPTHS = {"cvt_13": [1, 2, 10], "cvt_21": [1, 4, 16]}


def build(name: str) -> nn.Module:
    library, model = name.split(":")
    if library == "timm":
        return timm.create_model(model, num_classes=0).eval()
    if model in CVT_DEPTHS:
        return Cvt(transformers.CvtForImageClassification(transformers.CvtConfig(depth=CVT_DEPTHS[model]))).eval()
    if model == "swin_tiny":
        return HuggingFace(transformers.SwinModel(transformers.SwinConfig())).eval()
    raise SystemExit(f"unknown model {name}")


def randomise(model: nn.Module) -> None:
    """Moves what initialises to zero or one, so that a value that is forgotten shows."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for key, value in model.named_parameters():
            noise = torch.randn(value.shape, generator=generator)
            if "relative_position_bias_table" in key:
                value.copy_(0.5 * noise)
            elif value.dim() == 1:
                value.add_(0.1 * noise)
        for key, value in model.named_buffers():
            if key.endswith(("running_mean", "running_var")):
                value.add_(0.2 * torch.rand(value.shape, generator=generator))


def import_into(folder: Path, model: nn.Module, server: str) -> Path:
    weights = folder / "model.safetensors"
    if isinstance(model, HuggingFace):
        model.model.save_pretrained(folder)
    else:
        save_file(model.state_dict(), weights)
    arguments = ["--weights", weights, "--name", "imported", "--preprocessing", "imagenet", "--models", folder / "models"]
    if isinstance(model, Cvt):
        arguments += ["--image-size", 224]
    subprocess.run([server, "import-backbone", *map(str, arguments)], check=True)
    return folder / "models/imported"


def session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    started, spent = time.perf_counter(), time.process_time()
    made = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    wall, processor = time.perf_counter() - started, time.process_time() - spent
    print(f"  {path.name}: session in {wall:.3f} s, processor {processor:.3f} s; as written {operators(path)}")
    options.optimized_model_filepath = str(path.with_suffix(".optimised"))
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    print(f"    as ONNX Runtime runs it {operators(path.with_suffix('.optimised'))}")
    return made


def operators(path: Path) -> str:
    counts = Counter(node.op_type for node in onnx.load(path, load_external_data=False).graph.node)
    listed = ", ".join(f"{name} {count}" for name, count in counts.most_common())
    return f"{sum(counts.values())} operators ({listed})"


def clock(run) -> tuple[float, float]:
    wall, processor = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - wall, time.process_time() - processor


def race(ours, theirs, pixels: numpy.ndarray, rounds: int) -> None:
    runs = {name: lambda made=made: made.run(None, {"pixels": pixels}) for name, made in (("theirs", theirs), ("ours", ours))}
    times = {name: [] for name in runs}
    for round in range(rounds + 2):
        for name, run in runs.items():
            taken = clock(run)
            if round > 1:
                times[name].append(taken)
    medians = {}
    for name, taken in times.items():
        wall, processor = numpy.array(taken).T * 1e3
        medians[name] = numpy.median(wall), numpy.median(processor), wall.min(), processor.min()
        print("  %-6s wall %.1f ms, processor %.1f ms; least %.1f, %.1f" % (name, *medians[name]))
    shares = [theirs / ours for theirs, ours in zip(medians["theirs"], medians["ours"])]
    print("  ours over theirs, throughput: wall %.3f, processor %.3f; by minima %.3f, %.3f" % tuple(shares))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+")
    parser.add_argument("--server", default="target/release/server")
    parser.add_argument("--rounds", type=int, default=0)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    for name in arguments.models:
        print(name)
        torch.manual_seed(0)
        model = build(name)
        randomise(model)
        with tempfile.TemporaryDirectory() as folder, torch.no_grad():
            imported = import_into(Path(folder), model, arguments.server)
            size = json.loads((imported / "config.json").read_text())["image_size"]
            pixels = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(2))
            ours = session(imported / "backbone.onnx", arguments.threads)
            (features,) = ours.run(["features"], {"pixels": pixels.numpy()})
            single = model(pixels).numpy()
            expected = model.double()(pixels.double()).numpy()
            difference = lambda found: numpy.abs(found - expected).max()
            print(f"  largest difference {difference(features):.2e}, PyTorch's own in single precision {difference(single):.2e}")
            print(f"  features' rms {numpy.sqrt((expected**2).mean()):.2f}")
            if arguments.rounds:
                pixels = torch.randn(arguments.batch, 3, size, size)
                exported = Path(folder) / "exported.onnx"
                torch.onnx.export(model.float(), (pixels,), str(exported), dynamo=False, opset_version=20, input_names=["pixels"])
                race(ours, session(exported, arguments.threads), pixels.numpy(), arguments.rounds)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
