#!/usr/bin/env python3
"""Contender: one ONNX Runtime session a task behind FastAPI, loaded on demand, the least recently used dropped.

Whoever serves a full model for each task does this: a request waits for its task's session, which is made from the
task's own model file when it is not resident. At most `--sessions` are alive at once, the ones being loaded included.
"""

import argparse
import json
import threading
from collections import OrderedDict
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from preprocess import pixels
from sessions import session


class Sessions:
    """Sessions by task, at most `limit`."""

    def __init__(self, limit: int, load) -> None:
        self.limit, self.load = limit, load
        self.change = threading.Condition()
        self.ready: OrderedDict = OrderedDict()
        self.users: dict[str, int] = {}
        self.loads = 0

    def run(self, task: str, use):
        """Calls `use` with the task's session, which stays as long as that takes."""
        made = self.acquire(task)
        try:
            return use(made)
        finally:
            del made
            with self.change:
                self.users[task] -= 1
                self.change.notify_all()

    def acquire(self, task: str):
        with self.change:
            while True:
                if task in self.users and task not in self.ready:
                    self.change.wait()  # Somebody else is loading it.
                elif task in self.ready:
                    self.users[task] += 1
                    self.ready.move_to_end(task)
                    return self.ready[task]
                elif self.make_room():
                    self.users[task] = 1
                    break
                else:
                    self.change.wait()
        try:
            made = self.load(task)
        except BaseException:
            with self.change:
                del self.users[task]
                self.change.notify_all()
            raise
        with self.change:
            self.loads += 1
            self.ready[task] = made
            self.change.notify_all()
        return made

    def make_room(self) -> bool:
        """Drops the session unused for longest where there are too many; tells whether there is room."""
        if len(self.users) < self.limit:
            return True
        idle = next((task for task in self.ready if self.users[task] == 0), None)
        if idle is None:
            return False
        del self.ready[idle], self.users[idle]
        return True


def app(args: argparse.Namespace) -> FastAPI:
    config = json.loads((args.backbone / "config.json").read_text())
    load = lambda task: session(str(args.models / f"{task}.onnx"), args.threads, args.mapped)
    sessions = Sessions(args.sessions, load)
    made = FastAPI()

    def answer(task: str, jpeg: bytes) -> dict:
        image = pixels(jpeg, config)[None]
        (logits,) = sessions.run(task, lambda made: made.run(["logits"], {"pixels": image}))
        return {"task": task, "logits": logits[0].tolist()}

    @made.post("/v1/tasks/{task}/classify")
    async def classify(task: str, request: Request) -> dict:
        return await run_in_threadpool(answer, task, await request.body())

    @made.get("/stats")
    def stats() -> dict:
        return {"loads": sessions.loads, "resident": len(sessions.ready)}

    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--backbone", type=Path, required=True)
    parser.add_argument("--models", type=Path, required=True, help="folder of TASK.onnx")
    parser.add_argument("--sessions", type=int, required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--mapped", action="store_true", help="sessions share the weights' pages, unpacked")
    args = parser.parse_args()
    uvicorn.run(app(args), host="127.0.0.1", port=args.port, log_level="warning")


if __name__ == "__main__":
    main()
