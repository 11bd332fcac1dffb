"""The plots, as SVG."""

import statistics
from pathlib import Path

import matplotlib

matplotlib.use("svg")
from kinds import BARE, MAPPED, ONNX, OTHER, SERVER, TORCH, shown  # noqa: E402
from matplotlib import pyplot  # noqa: E402

# Okabe and Ito's colours, which the colour-blind tell apart.
COLOURS = {SERVER: "#0072b2", OTHER: "#56b4e9", ONNX: "#d55e00", MAPPED: "#e69f00", TORCH: "#009e73", BARE: "#666666"}
STYLE = {
    "svg.fonttype": "path",
    "svg.hashsalt": "race",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    # GitHub shows pictures on dark pages too.
    "savefig.facecolor": "white",
}


def draw(data: dict, folder: Path) -> list[tuple[str, str]]:
    """Draws what there are results for: title and file of each."""
    made = []
    with matplotlib.rc_context(STYLE):
        if data.get("servers"):
            made.append(("Requests a second and memory by number of tasks", "servers.svg"))
            servers(data["servers"], data["settings"]["other_options"], folder / "servers.svg")
        if data.get("fork") and data.get("sites"):
            made.append(("One image under several tasks; time with adapters removed", "sharing.svg"))
            sharing(data, folder / "sharing.svg")
    return made


def save(figure: pyplot.Figure, path: Path) -> None:
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def servers(cells: dict, options: str | None, path: Path) -> None:
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 4.2))
    raced = [who for who in (SERVER, OTHER, ONNX, MAPPED, TORCH) if any(who in one for one in cells[next(iter(cells))])]
    width = 0.8 / len(raced)
    for number, who in enumerate(raced):
        places = [i + (number - (len(raced) - 1) / 2) * width for i in range(len(cells))]
        of = lambda key, who=who: [statistics.median(one[who][key] for one in rounds) for rounds in cells.values()]
        left.bar(places, of("rate"), width, color=COLOURS[who], label=shown(who, options))
        right.bar(places, [pss / 2**20 for pss in of("pss")], width, color=COLOURS[who], label=who)
    bare = [one[BARE]["rate"] for rounds in cells.values() for one in rounds if BARE in one]
    if bare:
        left.axhline(statistics.median(bare), color=COLOURS[BARE], linestyle="--", linewidth=1, label=BARE)
    for axes, title in ((left, "requests a second"), (right, "memory, MiB")):
        axes.set_xticks(range(len(cells)), list(cells))
        axes.set_xlabel("tasks, drawn at random")
        axes.set_title(title, loc="left")
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    figure.tight_layout(rect=(0, 0.13, 1, 1))
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def sharing(data: dict, path: Path) -> None:
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 3.4))
    rows = data["fork"]["rows"]
    tasks = [row["tasks"] for row in rows]
    left.plot(tasks, [row["ideal"] for row in rows], "--", color=COLOURS[BARE], label="by FLOPs")
    left.plot(tasks, [row["gain"] for row in rows], "o-", color=COLOURS[SERVER], label="measured")
    left.set_title("one image under several tasks: times as fast", loc="left")
    left.set_xlabel("tasks (adapters in the last third of the blocks)")
    left.set_xticks(tasks, [f"{count:.0f}" for count in tasks])
    left.set_ylim(0)
    left.legend(frameon=False)
    times = data["sites"]["milliseconds"]
    right.plot([int(left) for left in times], list(times.values()), "o-", color=COLOURS[SERVER])
    right.set_title("program with adapters removed, ms", loc="left")
    right.set_xlabel(f"adapters left, each of width {data['sites']['width']}")
    right.set_xticks([int(left) for left in times])
    right.set_ylim(0, 1.15 * max(times.values()))
    save(figure, path)
