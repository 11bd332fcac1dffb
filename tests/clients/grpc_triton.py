"""Calls every offered method by an unmodified tritonclient over gRPC; fails at the first that does not work.

    python tests/clients/grpc_triton.py --url 127.0.0.1:8080 --key KEY --model TASK --image FILE --pack FOLDER
"""

import argparse
import queue
from pathlib import Path

import numpy as np
import tritonclient.grpc as grpc
from tritonclient.utils import InferenceServerException

# Calls that are not offered, with arguments.
NOT_OFFERED = {
    "get_trace_settings": (),
    "update_trace_settings": (),
    "get_log_settings": (),
    "update_log_settings": ({"log_info": True},),
    "get_system_shared_memory_status": (),
    "register_system_shared_memory": ("a", "/a", 16),
    "unregister_system_shared_memory": (),
    "get_cuda_shared_memory_status": (),
    "register_cuda_shared_memory": ("a", b"YQ==", 0, 16),
    "unregister_cuda_shared_memory": (),
}


def refused(code: str, call, *arguments, **named) -> None:
    """The call fails with the status."""
    try:
        call(*arguments, **named)
    except InferenceServerException as error:
        assert error.status() == f"StatusCode.{code}", error
        assert error.message(), error
        return
    raise AssertionError(f"{call} is answered")


def image_input(path: str) -> grpc.InferInput:
    with open(path, "rb") as file:
        image = file.read()
    tensor = grpc.InferInput("image", [1], "BYTES")
    tensor.set_data_from_numpy(np.array([image], dtype=np.object_))
    return tensor


def pixel_input() -> grpc.InferInput:
    pixels = np.arange(2 * 8 * 8 * 3, dtype=np.uint8).reshape(2, 8, 8, 3)
    tensor = grpc.InferInput("pixels", pixels.shape, "UINT8")
    tensor.set_data_from_numpy(pixels)
    return tensor


def check_server(client, headers) -> None:
    assert client.is_server_live() and client.is_server_ready()
    metadata = client.get_server_metadata(as_json=True)
    assert metadata["name"] == "mimi-server" and "model_repository" in metadata["extensions"], metadata
    index = client.get_model_repository_index(headers=headers, as_json=True)
    assert index["models"], index


def check_model(client, headers, model: str) -> None:
    assert client.is_model_ready(model, headers=headers)
    metadata = client.get_model_metadata(model, headers=headers, as_json=True)
    assert metadata["name"] == model and metadata["inputs"] and metadata["outputs"], metadata
    config = client.get_model_config(model, headers=headers, as_json=True)
    assert config["config"]["name"] == model, config
    client.get_inference_statistics(model, headers=headers)
    client.get_inference_statistics(headers=headers)


def check_inference(client, headers, model: str, image: str) -> None:
    wanted = [grpc.InferRequestedOutput("logits"), grpc.InferRequestedOutput("probabilities")]
    inputs = [image_input(image)]
    plain = client.infer(model, inputs, outputs=wanted, headers=headers, request_id="r-1")
    logits = plain.as_numpy("logits")
    assert logits.shape[0] == 1 and plain.get_response().id == "r-1", plain.get_response()
    zipped = client.infer(model, inputs, outputs=wanted, headers=headers, compression_algorithm="gzip", client_timeout=30)
    assert (zipped.as_numpy("logits") == logits).all()
    limited = client.infer(model, inputs, outputs=wanted, headers=headers, timeout=20_000_000, priority=1)
    assert (limited.as_numpy("logits") == logits).all()
    classes = client.infer(model, inputs, outputs=[grpc.InferRequestedOutput("probabilities", class_count=2)], headers=headers)
    first = classes.as_numpy("probabilities")[0][0].decode()
    assert int(first.split(":")[1]) == int(logits[0].argmax()), first
    assert client.infer(model, inputs, headers=headers).as_numpy("labels").shape[0] == 1
    assert client.infer(model, [pixel_input()], outputs=wanted, headers=headers).as_numpy("logits").shape[0] == 2
    results = queue.Queue()
    client.async_infer(model, inputs, lambda result, error: results.put((result, error)), outputs=wanted, headers=headers)
    result, error = results.get(timeout=30)
    assert error is None and (result.as_numpy("logits") == logits).all(), error
    print("infer: plain, gzip, timeout, priority, classes, pixels, async")


def check_repository(client, headers, model: str, image: str, pack: Path) -> None:
    client.unload_model(model, headers=headers)
    index = client.get_model_repository_index(headers=headers, as_json=True)["models"]
    assert [entry["state"] for entry in index if entry["name"] == model] == ["UNAVAILABLE"], index
    assert not client.is_model_ready(model, headers=headers)
    client.load_model(model, headers=headers)
    assert client.is_model_ready(model, headers=headers)
    files = {f"file:1/{name}": (pack / name).read_bytes() for name in ("adapter_config.json", "adapter_model.safetensors")}
    client.load_model("a.new", files=files, headers=headers)
    assert client.infer("a.new", [image_input(image)], headers=headers).as_numpy("labels").shape == (1, 1)
    print("repository: unload, load, load with files")


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ["--url", "--key", "--model", "--image", "--pack"]:
        parser.add_argument(name, required=True)
    given = parser.parse_args()
    headers = {"authorization": f"Bearer {given.key}"}
    with grpc.InferenceServerClient(given.url) as client:
        check_server(client, headers)
        check_model(client, headers, given.model)
        check_inference(client, headers, given.model, given.image)
        check_repository(client, headers, given.model, given.image, Path(given.pack))
        inputs = [image_input(given.image)]
        refused("UNAUTHENTICATED", client.infer, given.model, inputs)
        refused("UNAUTHENTICATED", client.infer, given.model, inputs, headers={"authorization": "Bearer wrong"})
        refused("INVALID_ARGUMENT", client.infer, given.model, inputs, priority=4, headers=headers)
        refused("NOT_FOUND", client.infer, "a.none", inputs, headers=headers)
        refused("NOT_FOUND", client.infer, given.model, inputs, model_version="99", headers=headers)
        for name, arguments in NOT_OFFERED.items():
            refused("UNIMPLEMENTED", getattr(client, name), *arguments, headers=headers)
    print("refusals: no key, wrong key, no task, no version, and", len(NOT_OFFERED), "calls that are not offered")


if __name__ == "__main__":
    main()
