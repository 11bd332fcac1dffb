#!/usr/bin/env python3
"""Classifies images under one task of a running server. Standard library only.

    python3 examples/client.py --task openclipart picture.png another.jpg

Requests that the server answers with 429 or 503 are sent again after the seconds that its Retry-After header names.
"""

import argparse
import json
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

TRIES = 5


def classify(server: str, task: str, image: bytes, top_k: int) -> dict:
    """The answer for one image; raises RuntimeError with the server's own words when there is none."""
    url = f"{server}/v1/tasks/{task}/classify?top_k={top_k}"
    for attempt in range(1, TRIES + 1):
        try:
            with urllib.request.urlopen(urllib.request.Request(url, data=image), timeout=60) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as refusal:
            wait = refusal.headers.get("Retry-After", "")
            if not wait.isdecimal() or attempt == TRIES:
                raise RuntimeError(reason(refusal)) from None
            time.sleep(int(wait))
    raise AssertionError("the last attempt returns or raises")


def reason(refusal: urllib.error.HTTPError) -> str:
    """The server's words, or those of a proxy before it."""
    try:
        failure = json.load(refusal)
        return f"{failure['code']}: {failure['error']}"
    except (ValueError, KeyError, TypeError):
        return f"{refusal.code} {refusal.reason}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", nargs="+", type=Path)
    parser.add_argument("--task", required=True)
    parser.add_argument("--server", default="http://127.0.0.1:8080")
    parser.add_argument("--top-k", type=int, default=1)
    args = parser.parse_args()
    for path in args.images:
        try:
            answer = classify(args.server, args.task, path.read_bytes(), args.top_k)
        except (OSError, RuntimeError) as error:
            sys.exit(f"{path}: {error}")
        best = ", ".join(f"{p['label']} ({p.get('score', p.get('value')):.3f})" for p in answer["predictions"])
        print(f"{path}: {best}")


if __name__ == "__main__":
    main()
