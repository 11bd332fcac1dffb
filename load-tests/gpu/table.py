"""The results as one page of Markdown."""

from typing import Any, Dict, List, Sequence

MIB = 1 << 20


def rows(head: Sequence[str], body: List[Sequence[Any]]) -> str:
    """A table."""
    lines = [head, ["---"] + ["--:"] * (len(head) - 1), *body]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines) + "\n"


def table(identity: Dict[str, str], parts: Dict[str, Any], left: List[str]) -> str:
    """The whole page."""
    machine = (parts.get("machine") or {}).get("figures") or {}
    where = ", ".join(str(machine[key]) for key in ("name", "memory.total", "driver_version", "processor") if key in machine)
    text = [f"Device {identity['device']} ({where}), backbone {identity['size']} with random weights, {identity['rounds']} rounds.\n"]
    if left:
        text.append(f"Not done yet: {', '.join(left)}.\n")
    text.append(rows(["part", "verdict", "seconds", "remark"], [remark(name, part) for name, part in parts.items()]))
    figures = {name: part["figures"] for name, part in parts.items()}
    for name, (show, form) in SECTIONS.items():
        # A part that ended early has other figures, or some of them.
        text += [show(found, what) for found, what in figures.items() if found.startswith(name) and isinstance(what, form)]
    return "\n".join(text)


def remark(name: str, part: Dict[str, Any]) -> Sequence[Any]:
    """A line of the first table; the whole of why it failed is in the JSON."""
    figures = part["figures"]
    said = f"{figures['passed']} passed" if name.startswith("tests-") and isinstance(figures, dict) else ""
    why = part["why"].replace("\n", " ").replace("|", "/")
    return name, part["verdict"], part["seconds"], (f"{said} {why}".strip())[:300]


def memory(_name: str, figures: Dict[str, Any]) -> str:
    """Memory in use by number of programs."""
    body = [(f"{line['loaded']} {line['programs'] or ''}".strip(), f"{line['bytes'] / MIB:.0f}") for line in figures["used"]]
    body.append(("a further program", f"{figures['further_program_bytes'] / MIB:.1f}"))
    body.append(("the weights' file", f"{figures['weights_bytes'] / MIB:.0f}"))
    return rows(["memory in use with", "MiB"], body)


def parity(name: str, figures: List[Dict[str, Any]]) -> str:
    """Differences to the CPU's features."""
    number = lambda line, key, form: "no number" if line[key] is None else format(line[key], form)
    body = [
        (f"{line['rows']} rows, {line['packs']} packs", number(line, "largest", ".1e"), number(line, "relative", ".1e"), number(line, "cosine", ".7f"))
        for line in figures
    ]
    return rows([f"{name}: features over the CPU's in fp32", "largest difference", "root mean square", "least cosine"], body)


def sweep(name: str, figures: List[Dict[str, Any]]) -> str:
    """Latency and throughput."""
    body = []
    for line in figures:
        bare, ours, slowest = (f"{1e3 * line[key]:.2f}" for key in ("bare_seconds", "engine_seconds", "slowest_seconds"))
        steady = line["steady_seconds"]
        of_bare = f"{line['bare_seconds'] / line['engine_seconds']:.2f}"
        of_bare_steady = f"{line['bare_seconds'] / steady:.2f}"
        body.append((line["rows"], line["packs"], line["adapters"], bare, ours, slowest, of_bare, f"{1e3 * steady:.2f}", f"{line['rows_per_second']:.0f}", of_bare_steady))
    head = [f"{name}: rows", "packs", "adapters", "bare program, ms", "engine, ms", "slowest, ms", "of the bare program", "four in flight, ms a batch", "rows/s", "of the bare program"]
    return rows(head, body)


def tasks(_name: str, figures: List[Dict[str, Any]]) -> str:
    """One image under several tasks."""
    body = []
    for line in figures:
        replayed = ", CUDA graphs" if line.get("cuda_graphs") else ""
        if "tasks" in line:
            slow, fast, what = line["apart_seconds"], line["together_seconds"], f"{line['tasks']} tasks, states on the {line['state']}{replayed}"
            body.append((what, f"{1e3 * slow:.2f}", f"{1e3 * fast:.2f}", f"{slow / fast:.2f}", f"{line['ideal']:.2f}"))
        else:
            slow, fast = line["unknown_seconds"], line["known_seconds"]
            body.append((f"a known image, its state on the {line['state']}{replayed}", f"{1e3 * slow:.2f}", f"{1e3 * fast:.2f}", f"{slow / fast:.2f}", f"{1 / line['ideal']:.2f}"))
    return rows(["one image", "apart or unknown, ms", "shared or known, ms", "speed-up", "by FLOPs"], body)


def training(_name: str, figures: Dict[str, Any]) -> str:
    """Training steps."""
    body = [(key.replace("_", " "), f"{value:.2f}") for key, value in figures.items()]
    return rows(["a training step of 32 images, images/s", "median"], body)


SECTIONS = {
    "memory": (memory, dict),
    "parity-": (parity, list),
    "sweep-": (sweep, list),
    "tasks": (tasks, list),
    "training": (training, dict),
}
