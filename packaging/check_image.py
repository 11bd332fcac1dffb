"""Runs an image's files by runc as its configuration says, with a read-only root and no capability, and asks it.

    python3 packaging/check_image.py --config IMAGE.json --root DIR

IMAGE.json is what `buildah inspect --type image` prints. Standard library only; Linux, root, runc.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Dict, List

from serving import Server, free_port

NAME = f"mimi-check-{os.getpid()}"
COMPILERS = ["cc", "gcc", "g++", "clang", "ld", "as", "make", "cargo", "rustc"]
FOLDERS = ["bin", "usr/bin", "usr/local/bin", "root/.cargo/bin", "usr/local/cargo/bin"]


def bundle(folder: Path, image: Dict[str, Any], root: Path, port: int) -> None:
    """Writes runc's configuration: its own example, with the image's settings and less allowed."""
    subprocess.run(["runc", "spec", "--bundle", str(folder)], check=True)
    spec = json.loads((folder / "config.json").read_text())
    uid, gid = (int(part) for part in image["User"].split(":"))
    process = spec["process"]
    process["terminal"] = False
    process["user"] = {"uid": uid, "gid": gid}
    process["args"] = image["Entrypoint"] + image["Cmd"]
    process["env"] = image["Env"] + [f"MIMI_PORT={port}"]
    process["cwd"] = image["WorkingDir"]
    process["capabilities"] = {}
    process["noNewPrivileges"] = True
    spec["root"] = {"path": str(root), "readonly": True}
    # Without a network of its own it is asked on this machine's loopback.
    spec["linux"]["namespaces"] = [space for space in spec["linux"]["namespaces"] if space["type"] != "network"]
    (folder / "config.json").write_text(json.dumps(spec))


def inside(*command: str) -> str:
    """What a command prints in the running container."""
    return subprocess.run(["runc", "exec", NAME, *command], check=True, stdout=subprocess.PIPE, text=True).stdout


def check_process(image: Dict[str, Any]) -> None:
    """Process 1 is the server, as the image's user, on a root that nobody can write to."""
    status = dict(line.split(":\t", 1) for line in inside("cat", "/proc/1/status").splitlines())
    uids = set(status["Uid"].split())
    if status["Name"] != "server" or uids != {image["User"].split(":")[0]} or int(status["CapEff"], 16) != 0:
        sys.exit(f"process 1 is {status['Name']} as {uids} with capabilities {status['CapEff']}")
    options = next(line.split()[3] for line in inside("cat", "/proc/1/mounts").splitlines() if line.split()[1] == "/")
    if "ro" not in options.split(","):
        sys.exit(f"the root is mounted {options}")


def check_files(root: Path) -> None:
    """Nothing in it compiles."""
    found: List[str] = [f"{folder}/{name}" for folder in FOLDERS for name in COMPILERS if (root / folder / name).exists()]
    if found:
        sys.exit(f"compilers in the image: {found}")


def megabytes(folder: Path) -> float:
    """What a folder holds, in MB."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return sum(path.stat().st_size for path in files) / 1e6


def main() -> None:
    """Looks at the files, runs them, asks, and ends the server by SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--root", type=Path, required=True)
    args = parser.parse_args()
    image = json.loads(args.config.read_text())["Docker"]["config"]
    if not image.get("Healthcheck"):
        sys.exit("the image has no health check")
    check_files(args.root)
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        bundle(Path(folder), image, args.root, port)
        try:
            with Server(["runc", "run", "--bundle", folder, NAME], port) as server:
                server.wait_until_ready()
                check_process(image)
                print(inside(*image["Healthcheck"]["Test"][1:]).strip())
                print(f"the sample picture is {server.classify()}")
                server.stop()
        finally:
            # The container outlives a killed `runc run`.
            subprocess.run(["runc", "delete", "--force", NAME], stderr=subprocess.DEVNULL)
    backbone = megabytes(args.root / "srv/mimi/models")
    print(f"image: {megabytes(args.root):.0f} MB, of which the backbone {backbone:.0f} MB; it answered and ended by SIGTERM")


if __name__ == "__main__":
    main()
