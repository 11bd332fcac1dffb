"""Made-up packs for a backbone, and each of them folded into an ONNX file of its own."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file, save

CLASSES = 10
# CLIP's QuickGELU is x * sigmoid(1.702 x).
QUICK_GELU_SLOPE = 1.702


def name(index: int) -> str:
    """The task's name."""
    return f"t{index:04}"


def sites(config: dict) -> list[str]:
    """All sites of a backbone."""
    return [f"blocks.{block}.{place}" for block in range(config["depth"]) for place in ("attn", "mlp")]


def write_pack(root: Path, index: int, config: dict, adapter_width: int) -> None:
    """Writes version 1 of a task unless it is there: adapters at every site and a head, all drawn at random."""
    target = root / name(index) / "1"
    if target.exists():
        return
    draw = numpy.random.default_rng(index)
    width = config["width"]
    normal = lambda shape, scale: draw.standard_normal(shape, numpy.float32) * numpy.float32(scale)
    tensors = {"head.weight": normal((CLASSES, width), 0.05), "head.bias": normal((CLASSES,), 0.5)}
    for site in sites(config):
        tensors[f"{site}.adapter.down.weight"] = normal((adapter_width, width), 0.05)
        tensors[f"{site}.adapter.up.weight"] = normal((width, adapter_width), 0.05)
    weights = save(tensors)
    beside = root / name(index) / ".1.partial"
    beside.mkdir(parents=True, exist_ok=True)
    (beside / "adapter_model.safetensors").write_bytes(weights)
    (beside / "adapter_config.json").write_text(json.dumps(manifest(config, adapter_width, weights)))
    beside.rename(target)


def manifest(config: dict, adapter_width: int, weights: bytes) -> dict:
    """The pack's `adapter_config.json`."""
    return {
        "format_version": 1,
        "peft_type": "MIMI",
        "base_model_name_or_path": config["name"],
        "base_model_sha256": config["fingerprint"],
        "activation": config["activation"],
        "adapter_widths": {site: adapter_width for site in sites(config)},
        "leave_out": [],
        "labels": [f"class-{c}" for c in range(CLASSES)],
        "preprocessing": config["preprocessing"],
        "precision": "fp32",
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "self_test": {"images": 0, "tolerance": 0.001},
    }


def read_pack(root: Path, index: int) -> dict[str, numpy.ndarray]:
    """A pack's tensors by name."""
    return load_file(root / name(index) / "1" / "adapter_model.safetensors")


class Folder:
    """Makes a model file a task: the backbone's own graph with that task's adapters and head as nodes."""

    def __init__(self, backbone: Path, root: Path) -> None:
        self.root = root
        self.config = json.loads((backbone / "config.json").read_text())
        self.backbone = onnx.load(backbone / "backbone.onnx", load_external_data=False)
        root.mkdir(parents=True, exist_ok=True)
        shared = root / "backbone.safetensors"
        if not shared.exists():
            # A copy, for the server maps its own: what both map would count half for each.
            shutil.copyfile(backbone / "backbone.safetensors", shared)

    def fold(self, tensors: dict[str, numpy.ndarray], keep: set[str] | None = None) -> onnx.ModelProto:
        """The model of a pack; its frozen weights stay in the one file that all tasks share."""
        model = onnx.ModelProto()
        model.CopyFrom(self.backbone)
        graph, nodes = model.graph, []
        for node in self.backbone.graph.node:
            site = node.name.removesuffix(".residual")
            if node.name.endswith(".residual") and (keep is None or site in keep):
                made, out = self.adapter(graph, site, (node.input[1], tensors))
                nodes += made
                node = helper.make_node(node.op_type, [node.input[0], out], node.output, node.name)
            nodes.append(node)
        graph.initializer.append(numpy_helper.from_array(tensors["head.weight"].T.copy(), "head.weight"))
        graph.initializer.append(numpy_helper.from_array(tensors["head.bias"], "head.bias"))
        nodes.append(helper.make_node("MatMul", ["features", "head.weight"], ["head.product"], "head.product"))
        nodes.append(helper.make_node("Add", ["head.product", "head.bias"], ["logits"], "logits"))
        del graph.node[:], graph.output[:]
        graph.node.extend(nodes)
        graph.output.append(helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["B", CLASSES]))
        return model

    def adapter(self, graph: onnx.GraphProto, site: str, given: tuple) -> tuple[list, str]:
        """Nodes of `h + up · act(down · h)`, and their output."""
        h, tensors = given
        own = f"{site}.adapter"
        for part in ("down", "up"):
            weight = tensors[f"{own}.{part}.weight"].T.copy()
            graph.initializer.append(numpy_helper.from_array(weight, f"{own}.{part}"))
        node = lambda kind, inputs, out: helper.make_node(kind, inputs, [f"{own}.{out}"], f"{own}.{out}")
        nodes = [node("MatMul", [h, f"{own}.down"], "hidden")]
        if self.config["activation"] == "quick_gelu":
            slope = numpy.array(QUICK_GELU_SLOPE, numpy.float32)
            graph.initializer.append(numpy_helper.from_array(slope, f"{own}.slope"))
            nodes.append(node("Mul", [f"{own}.hidden", f"{own}.slope"], "steep"))
            nodes.append(node("Sigmoid", [f"{own}.steep"], "gate"))
            nodes.append(node("Mul", [f"{own}.hidden", f"{own}.gate"], "act"))
        else:
            nodes.append(node("Gelu", [f"{own}.hidden"], "act"))
        nodes.append(node("MatMul", [f"{own}.act", f"{own}.up"], "change"))
        nodes.append(node("Add", [h, f"{own}.change"], "out"))
        return nodes, f"{own}.out"

    def write(self, task: str, tensors: dict[str, numpy.ndarray]) -> None:
        """Writes a task's model unless it is there."""
        path = self.root / f"{task}.onnx"
        if not path.exists():
            onnx.save(self.fold(tensors), path)
