#!/usr/bin/env python3
"""Runs a backbone's exported graph in Python's ONNX Runtime and compares with timm's stored features.

    pip install onnxruntime==1.31.1 numpy safetensors
    python3 load-tests/check_onnx.py models/clip-vit-b16 tests/fixtures/clip_vitb16_features.safetensors
"""

import json
import sys

import numpy
import onnxruntime
from safetensors import safe_open

folder, fixture = sys.argv[1:3]
with safe_open(fixture, "numpy") as file:
    stored, expected = file.get_tensor("input/pixels"), file.get_tensor("expect/features")
    mean, std = (numpy.array(json.loads(file.metadata()[key]), numpy.float32) for key in ("mean", "std"))
pixels = ((stored.astype(numpy.float32) / 255 - mean) / std).transpose(0, 3, 1, 2)
session = onnxruntime.InferenceSession(f"{folder}/backbone.onnx", providers=["CPUExecutionProvider"])
(features,) = session.run(["features"], {"pixels": numpy.ascontiguousarray(pixels)})
print(f"largest difference {numpy.abs(features - expected).max():.2e}, features' rms {numpy.sqrt((expected**2).mean()):.2f}")
