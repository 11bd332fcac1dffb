"""The parts of the check, in the order in which they are worth most. Each gives a verdict and its figures."""

import json
import platform
import re
import subprocess
import time
from argparse import Namespace
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Optional

import cuda
import weights

Result = Dict[str, Any]

# Modules of the tests that run on the device of MIMI_TEST_DEVICE. On the CPU all but the first have just run.
TESTS = ["device", "device_state", "reference", "batching", "bank", "modules", "forking", "replays", "gradients"]
ROWS = [1, 8, 32, 64]
PACKS = [1, 8, 32]
# Most rows of batches that are replayed as CUDA graphs.
GRAPHS = 16
PROGRAMS = [1, 4, 12]
# Weights below this size do not show among what a program takes besides.
JUDGED_FROM_BYTES = 64 << 20
# Largest error of features, over their root mean square, and least cosine, by precision.
EXACT = {"fp32": (1e-3, 0.99999), "tf32": (5e-2, 0.999), "fp16": (5e-2, 0.999)}


class Failed(Exception):
    """A part that could not be run; the text is for the reader, and what it had measured by then."""

    def __init__(self, why: str, figures: Any = None) -> None:
        super().__init__(why)
        self.figures = figures


class Part(NamedTuple):
    """One measurement: its name, the most seconds it may take, and what does it."""

    name: str
    limit: float
    run: Callable[["Bench"], Result]


class Bench:
    """What the parts run with."""

    def __init__(self, args: Namespace, env: Dict[str, str]) -> None:
        self.args, self.env = args, env
        #: When the part now running must end, by the monotonic clock.
        self.ends = 0.0

    @property
    def gpu(self) -> bool:
        return self.args.device.startswith("cuda")

    @property
    def backbone(self) -> str:
        return f"random-{self.args.size}"

    def call(self, command: List[Any], env: Optional[Dict[str, str]] = None, failing: bool = False) -> str:
        """What a command prints; unless `failing` is allowed, one that fails ends the part."""
        words = [str(word) for word in command]
        how: Dict[str, Any] = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace")
        left = max(1.0, self.ends - time.monotonic())
        try:
            done = subprocess.run(words, timeout=left, env=env or self.env, **how)
        except subprocess.TimeoutExpired as late:
            said = late.stdout or b""
            said = said.decode(errors="replace") if isinstance(said, bytes) else said
            raise Failed(f"{' '.join(words[:3])} took more than {left:.0f} s", said) from late
        if done.returncode != 0 and not failing:
            raise Failed(f"{' '.join(words)} ended with {done.returncode}: {done.stderr.strip()[-2000:]}", done.stdout)
        return done.stdout

    def lines(self, *options: Any) -> List[Dict[str, Any]]:
        """Lines of JSON that `server bench` prints over the random backbone."""
        command = [self.args.server, "bench", "--precision", "fp32", *options, "--device", self.args.device, "--log", "warn"]
        command += ["--models", self.args.out / "models", "--backbone", self.backbone]
        try:
            lines = [json.loads(line) for line in self.call(command).splitlines()]
        except Failed as failure:
            # The last line may be half a line.
            whole = (failure.figures or "").splitlines(keepends=True)
            failure.figures = [json.loads(line) for line in whole if line.endswith("\n")] or None
            raise
        if not lines:
            raise Failed(f"server bench {' '.join(map(str, options))} printed nothing")
        return lines


def verdict(good: bool, figures: Any, why: str = "") -> Result:
    """A part's result."""
    return {"verdict": "pass" if good else "fail", "figures": figures, "why": "" if good else why}


def measured(figures: Any, why: str = "") -> Result:
    """The result of a part that nothing is asked of but figures."""
    return {"verdict": "measured", "figures": figures, "why": why}


def machine(bench: Bench) -> Result:
    """Which machine, and whether what CUDA needs is there."""
    figures = {"system": platform.platform(), "python": platform.python_version(), "processor": processor()}
    if not bench.gpu:
        return measured(figures)
    provider = Path(bench.env["MIMI_ONNXRUNTIME"]).with_name("libonnxruntime_providers_cuda.so")
    if not provider.exists():
        raise Failed(f"{provider} is missing: `make runtime DEVICE=cuda` fetches it")
    missing = cuda.missing(provider, bench.env)
    figures.update({"libraries": bench.env["LD_LIBRARY_PATH"].split(":"), "missing": missing})
    if missing:
        return verdict(False, figures, f"not found: {', '.join(missing)}. {cuda.ADVICE}")
    figures.update(cuda.gpu(bench.args.device))
    return verdict(True, figures)


def processor() -> str:
    """The CPU's name (Linux)."""
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    named = re.search(r"^model name\s*:\s*(.*)$", text, re.MULTILINE)
    return named[1] if named else platform.machine()


def backbone(bench: Bench) -> Result:
    """Makes the backbone: random weights, imported as anybody's are."""
    shape, models = weights.SIZES[bench.args.size], bench.args.out / "models"
    figures = {"backbone": bench.args.size, "parameters": shape.parameters, "bytes": 4 * shape.parameters}
    if (models / bench.backbone / "config.json").exists():
        return measured(figures)
    checkpoint = bench.args.out / "random.safetensors"
    weights.write(checkpoint, shape)
    command = [bench.args.server, "import-backbone", "--weights", checkpoint, "--name", bench.backbone]
    command += ["--models", models, "--preprocessing", "imagenet", "--activation", "gelu"]
    bench.call(command + ["--heads", shape.width // 64])
    checkpoint.unlink()
    return measured(figures)


def tests(module: str) -> Callable[[Bench], Result]:
    """Every test of a module, on the device."""

    def run(bench: Bench) -> Result:
        # Whoever captures waits for others, and not for long.
        threads = "1" if module == "replays" else "2"
        command = [bench.args.tests, f"{module}::"] + (["--test-threads", threads] if bench.gpu else [])
        said = bench.call(command, dict(bench.env, MIMI_TEST_DEVICE=bench.args.device), failing=True)
        outcomes = dict(re.findall(r"^test (\S+) \.\.\. (ok|FAILED)$", said, re.MULTILINE))
        failed = [name for name, outcome in outcomes.items() if outcome == "FAILED"]
        ended = re.search(r"^test result: (ok|FAILED)\.", said, re.MULTILINE)
        good = bool(ended) and ended[1] == "ok" and bool(outcomes)
        panics = re.findall(r"panicked at [^\n]*\n[^\n]*", said)
        why = f"{', '.join(failed)}: {' | '.join(panics)}" if ended else f"the tests ended early: {said[-500:]}"
        return verdict(good, {"passed": len(outcomes) - len(failed), "failed": failed}, why)

    return run


def memory(bench: Bench) -> Result:
    """Whether the weights are uploaded once: what each further program takes."""
    counts = [count for count in PROGRAMS if count <= 2 * weights.SIZES[bench.args.size].depth]
    lines = bench.lines("--programs", ",".join(map(str, counts)))
    used = {line["programs"]: line["bytes"] for line in lines if line["loaded"] == "programs"}
    size = 4 * weights.SIZES[bench.args.size].parameters
    each = (used[counts[-1]] - used[counts[0]]) / (counts[-1] - counts[0])
    figures = {"weights_bytes": size, "further_program_bytes": each, "used": lines}
    if size < JUDGED_FROM_BYTES:
        return measured(figures, "weights too small to show")
    return verdict(each < size / 2, figures, "a further program takes half the weights' size or more")


def parity(precision: str) -> Callable[[Bench], Result]:
    """Features against the CPU's in fp32."""

    def run(bench: Bench) -> Result:
        figures = bench.lines("--parity", "--precision", precision, "--rows", "1,8,32", "--packs", "1,8,32")
        most, least = EXACT[precision]
        # JSON has no NaN: the server writes null.
        close = lambda line: None not in line.values() and line["largest"] <= most and line["cosine"] >= least
        why = f"features differ by more than {most} of their root mean square, or their cosine is below {least}"
        return verdict(all(map(close, figures)), figures, why)

    return run


def sweep(precision: str, removed: bool, graphs: int = 0) -> Callable[[Bench], Result]:
    """Throughput and latency, with every adapter or with those of the first half of the blocks removed; with CUDA graphs, of
    the batches that are replayed."""

    def run(bench: Bench) -> Result:
        first = weights.SIZES[bench.args.size].depth // 2 if removed else 0
        rows = [count for count in ROWS if not graphs or count <= graphs]
        sizes = ["--rows", ",".join(map(str, rows)), "--packs", ",".join(map(str, PACKS))]
        options = ["--sweep", "--precision", precision, "--from-block", first, "--rounds", bench.args.rounds]
        return measured(bench.lines(*options, *sizes, "--cuda-graphs", graphs))

    return run


def tasks(bench: Bench) -> Result:
    """One image under several tasks, adapters in the last third; outputs of shared blocks on the device, with and without CUDA
    graphs there, and on the host."""
    fork = ["--fork", "--json", "--rounds", bench.args.rounds]
    ways = [("device", 0), ("host", 0)] + ([("device", GRAPHS)] if bench.gpu else [])
    told = [bench.lines(*fork, "--state", state, "--cuda-graphs", graphs) for state, graphs in ways]
    return measured([line for lines in told for line in lines])


def training(bench: Bench) -> Result:
    """A training step with its state on the device and on the host, and PyTorch's where there is one."""
    shape = weights.SIZES[bench.args.size]
    size = ["--batch", 32, "--micro-batch", 32]
    steps = ["--train", *size, "--sigma", 8, "--rounds", bench.args.rounds]
    figures: Dict[str, Any] = {"server": middle(bench.lines(*steps, "--state", "device"))}
    figures["server_with_its_state_on_the_host"] = middle(bench.lines(*steps, "--state", "host"))
    step = [bench.args.python, Path(__file__).with_name("torch_step.py"), "--device", bench.args.device]
    step += ["--shape", json.dumps(shape._asdict()), "--batch", 32, "--steps", bench.args.rounds]
    if "torch" not in bench.call([bench.args.python, "-c", HAS_TORCH]):
        return measured(figures, f"{bench.args.python} has no PyTorch to compare with")
    figures["pytorch"] = middle([json.loads(line) for line in bench.call(step).splitlines()])
    figures["server_over_pytorch"] = figures["server"] / figures["pytorch"]
    return measured(figures)


HAS_TORCH = "import importlib.util as u; print('torch' if u.find_spec('torch') else 'none')"


def middle(lines: List[Dict[str, Any]]) -> float:
    """Median of images a second."""
    rates = sorted(line["images_per_second"] for line in lines)
    return rates[len(rates) // 2]


def all_parts(gpu: bool) -> List[Part]:
    """Every part, in order."""
    parts = [Part("machine", 60, machine), Part("backbone", 120, backbone)]
    parts += [Part(f"tests-{module}", 120, tests(module)) for module in (TESTS if gpu else TESTS[:1])]
    parts += [Part("memory", 90, memory)]
    # TF32 is a GPU's.
    precisions = [precision for precision in EXACT if gpu or precision != "tf32"]
    parts += [Part(f"parity-{precision}", 120, parity(precision)) for precision in precisions]
    for precision in precisions:
        parts.append(Part(f"sweep-{precision}", 90, sweep(precision, False)))
        parts.append(Part(f"sweep-{precision}-removed", 90, sweep(precision, True)))
    if gpu:
        parts.append(Part("sweep-fp32-graphs", 90, sweep("fp32", False, GRAPHS)))
        parts.append(Part("sweep-fp16-graphs", 90, sweep("fp16", False, GRAPHS)))
    return parts + [Part("tasks", 90, tasks), Part("training", 120, training)]

