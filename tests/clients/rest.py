"""Unmodified clients of the Open Inference Protocol by REST, against a server that is running.

usage: rest.py URL TASK IMAGE NEW_TASK PACK

TASK is served at version 1. PACK is a version's folder, which is uploaded as NEW_TASK.
"""

import asyncio
import pathlib
import sys

import numpy
import tritonclient.http as triton
from kserve import InferInput, InferRequest, InferenceRESTClient, RESTConfig
from open_inference.openapi.client import OpenInferenceClient
from open_inference.openapi.types import InferenceRequest
from tritonclient.utils import InferenceServerException

URL, TASK, IMAGE, NEW_TASK, PACK = sys.argv[1:]
IMAGE, PACK = pathlib.Path(IMAGE).read_bytes(), pathlib.Path(PACK)


def refused(call, words):
    try:
        call()
    except InferenceServerException as error:
        assert words in str(error), error
    else:
        raise AssertionError(f"nothing was refused: {words}")


def image(count=1, binary=True):
    given = triton.InferInput("image", [count], "BYTES")
    given.set_data_from_numpy(numpy.array([IMAGE] * count, dtype=object), binary_data=binary)
    return given


def by_triton():
    client = triton.InferenceServerClient(URL.removeprefix("http://"), concurrency=2)
    assert client.is_server_live() and client.is_server_ready() and client.is_model_ready(TASK)
    assert client.is_model_ready(TASK, "1") and not client.is_model_ready(TASK, "9")
    assert {"binary_tensor_data", "schedule_policy"} <= set(client.get_server_metadata()["extensions"])
    metadata, config = client.get_model_metadata(TASK), client.get_model_config(TASK)
    assert metadata["name"] == config["name"] == TASK and metadata["inputs"][0]["name"] == "image"

    plain = client.infer(TASK, [image(2)])
    probabilities, labels = plain.as_numpy("probabilities"), plain.as_numpy("labels")
    assert probabilities.shape == (2, len(metadata["labels"])) and labels.shape == (2, 1)
    assert numpy.allclose(probabilities.sum(axis=1), 1.0, atol=1e-5)
    assert labels[0][0].decode() == metadata["labels"][probabilities[0].argmax()]

    outputs = [triton.InferRequestedOutput(name) for name in ("logits", "embedding")]
    told = client.infer(TASK, [image()], outputs=outputs, request_id="7", timeout=60_000_000, priority=1,
                        model_version="1", parameters={"top_k": 2, "mine": "x"})
    logits = told.as_numpy("logits")
    assert told.get_response()["id"] == "7" and told.get_response()["model_version"] == "1"
    assert told.as_numpy("embedding").shape == tuple([1, metadata["outputs"][-1]["shape"][1]])
    same = client.infer(TASK, [image()], outputs=[triton.InferRequestedOutput("logits", binary_data=False)])
    assert same.as_numpy("logits").tobytes() == logits.tobytes(), "JSON and binary differ"
    zipped = client.infer(TASK, [image()], outputs=outputs, request_compression_algorithm="gzip",
                          response_compression_algorithm="gzip")
    assert zipped.as_numpy("logits").tobytes() == logits.tobytes(), "gzip and plain differ"
    waiting = client.async_infer(TASK, [image()], outputs=outputs)
    assert waiting.get_result().as_numpy("logits").tobytes() == logits.tobytes()
    classes = client.infer(TASK, [image()], outputs=[triton.InferRequestedOutput("probabilities", class_count=2)])
    assert classes.as_numpy("probabilities")[0][0].decode().endswith(":" + labels[0][0].decode())

    pixels = triton.InferInput("pixels", [1, 5, 7, 3], "UINT8")
    pixels.set_data_from_numpy(numpy.arange(105, dtype=numpy.uint8).reshape(1, 5, 7, 3))
    assert client.infer(TASK, [pixels]).as_numpy("probabilities").shape == (1, len(metadata["labels"]))
    refused(lambda: client.infer("nowhere", [image()]), "nowhere")
    refused(lambda: client.infer(TASK, [triton.InferInput("x", [1], "BYTES").set_data_from_numpy(
        numpy.array([b"x"], dtype=object))]), "this model takes")

    statistics = client.get_inference_statistics(TASK)["model_stats"][0]
    counts = {name: phase["count"] for name, phase in statistics["inference_stats"].items()}
    assert (counts["success"], counts["fail"], counts["queue"]) == (7, 0, 8), counts
    assert client.get_inference_statistics()["model_stats"]
    assert {"name": TASK, "version": "1", "state": "READY", "reason": ""} in client.get_model_repository_index()
    client.unload_model(TASK)
    assert not client.is_model_ready(TASK)
    refused(lambda: client.infer(TASK, [image()]), "unloaded")
    client.load_model(TASK)
    assert client.is_model_ready(TASK)
    files = {f"file:1/{name}": (PACK / name).read_bytes() for name in ("adapter_config.json", "adapter_model.safetensors")}
    client.load_model(NEW_TASK, files=files)
    assert client.infer(NEW_TASK, [image()]).as_numpy("labels").shape == (1, 1)
    refused(lambda: client.get_trace_settings(), "no such route")
    refused(lambda: client.get_log_settings(), "no such route")
    refused(lambda: client.get_system_shared_memory_status(), "no such route")
    return logits


async def by_kserve(logits):
    client = InferenceRESTClient(RESTConfig(protocol="v2"))
    assert await client.is_server_live(URL) and await client.is_server_ready(URL)
    assert await client.is_model_ready(URL, TASK)
    for binary in (True, False):
        given = InferInput("image", [1], "BYTES")
        if binary:
            given.set_data_from_numpy(numpy.array([IMAGE], dtype=object), binary_data=True)
        else:
            import base64
            given.set_data_from_numpy(numpy.array([base64.b64encode(IMAGE)], dtype=object), binary_data=False)
        told = await client.infer(URL, InferRequest(TASK, [given]), model_name=TASK)
        assert [output.name for output in told.outputs] == ["probabilities", "labels"], told
        assert told.outputs[0].as_numpy().shape == (1, logits.shape[1])
    await client.close()


def by_open_inference(logits):
    client = OpenInferenceClient(base_url=URL)
    client.check_server_liveness()
    client.check_server_readiness()
    client.check_model_readiness(TASK)
    client.check_model_version_readiness(TASK, "1")
    assert client.read_server_metadata().name
    assert client.read_model_metadata(TASK).name == client.read_model_version_metadata(TASK, "1").name == TASK
    import base64
    text = base64.b64encode(IMAGE).decode()
    request = InferenceRequest.parse_obj({
        "inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": [text]}],
        "outputs": [{"name": "logits"}],
    })
    for told in (client.model_infer(TASK, request=request), client.model_version_infer(TASK, "1", request=request)):
        data = told.outputs[0].data
        data = getattr(data, "__root__", data)
        assert numpy.array(data, dtype=numpy.float32).tobytes() == logits.tobytes()


LOGITS = by_triton()
asyncio.run(by_kserve(LOGITS))
by_open_inference(LOGITS)
print("tritonclient, kserve and open-inference-openapi work")
