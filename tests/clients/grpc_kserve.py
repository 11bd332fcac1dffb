"""Calls every method by an unmodified kserve client over gRPC; fails at the first that does not work.

    python tests/clients/grpc_kserve.py --url 127.0.0.1:8080 --key KEY --model TASK --image FILE --pack FOLDER
"""

import argparse
import asyncio

import grpc
from kserve import InferInput, InferRequest
from kserve.inference_client import InferenceGRPCClient


async def refused(code: grpc.StatusCode, call) -> None:
    """The call fails with the status."""
    try:
        await call
    except grpc.RpcError as error:
        assert error.code() == code, error
        return
    raise AssertionError("the call is answered")


async def check(given: argparse.Namespace) -> None:
    headers = [("authorization", f"Bearer {given.key}")]
    with open(given.image, "rb") as file:
        image = file.read()

    def request(model: str) -> InferRequest:
        inputs = [InferInput("image", [1], "BYTES", data=[image])]
        return InferRequest(model_name=model, request_id="r-1", infer_inputs=inputs)

    async with InferenceGRPCClient(given.url) as client:
        assert await client.is_server_live() and await client.is_server_ready()
        assert await client.is_model_ready(given.model, headers=headers)
        answer = await client.infer(request(given.model), headers=headers)
        names = [output.name for output in answer.outputs]
        assert answer.id == "r-1" and names == ["probabilities", "labels"], answer
        await refused(grpc.StatusCode.UNAUTHENTICATED, client.infer(request(given.model)))
        await refused(grpc.StatusCode.NOT_FOUND, client.infer(request("a.none"), headers=headers))
    print("live, ready, model ready, infer, refusals")


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ["--url", "--key", "--model", "--image", "--pack"]:
        parser.add_argument(name, required=True)
    asyncio.run(check(parser.parse_args()))


if __name__ == "__main__":
    main()
