"""From results.json to the table and the plots: in docs/benchmarks.md between its markers, or in files of their own."""

import statistics
import sys
from pathlib import Path

import plots
from kinds import BARE, MAPPED, ONNX, OTHER, SERVER, TORCH, WHAT, shown

BEGIN, END = "<!-- race:begin -->", "<!-- race:end -->"


def report(data: dict, folder: Path, chapter: Path | None) -> None:
    """Prints whatever the results suffice for; writes it to the chapter or, without one, to table.md in the folder.

    The chapter's plots go to a folder beside it, where a built book finds them.
    """
    plotted = chapter.parent / "race" if chapter else folder
    made = plots.draw(data, plotted)
    text = "\n\n".join([*filter(None, (races(data), session_costs(data), overhead(data), fork(data), sites(data)))])
    print(text)
    if chapter is None:
        (folder / "table.md").write_text(text + "\n")
        return
    pictures = [f"![{title}](race/{file})" for title, file in made]
    whole = chapter.read_text()
    if BEGIN not in whole or END not in whole:
        sys.exit(f"{chapter} lacks {BEGIN} or {END}")
    before, rest = whole.split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    chapter.write_text("\n".join([before + BEGIN, text, "", *pictures, END + after]))


def table(head: list[str], rows: list[list[str]]) -> str:
    ruler = "|" + "|".join([" --- ", *[" ---: " for _ in head[1:]]]) + "|"
    line = lambda cells: "| " + " | ".join(cells) + " |"
    return "\n".join([line(head), ruler, *map(line, rows)])


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def summary(rounds: list[dict], who: str) -> dict:
    """Medians over the rounds; percentiles of all rounds' requests."""
    own = [one[who] for one in rounds if who in one]
    median = lambda key: statistics.median(one[key] for one in own)
    seconds = [s for one in own for s in one["seconds"]]
    over = lambda ours: [one[ours]["rate"] / one[who]["rate"] for one in rounds if who in one and ours in one]
    return {
        "rate": median("rate"),
        "p50": statistics.median(seconds),
        "p99": percentile(seconds, 0.99),
        "pss": median("pss"),
        "start": median("start"),
        "over": over(SERVER),
        "other over": over(OTHER),
        "sessions": own[0].get("sessions"),
        "jpeg": max((one.get("jpeg", 0) for one in own), default=0),
    }


def races(data: dict) -> str:
    """The main table."""
    cells = data.get("servers")
    if not cells:
        return ""
    rows, other = [], data["settings"]["other_options"]
    for count, rounds in cells.items():
        for who in (SERVER, OTHER, ONNX, MAPPED, TORCH, BARE):
            if not any(who in one for one in rounds):
                continue
            got = summary(rounds, who)
            label = shown(who, other) if not got["sessions"] else f"{who} ({got['sessions']})"
            over = [spread(got["over"]) if who != SERVER else ""]
            over += [spread(got["other over"]) if who != OTHER else ""] if other else []
            rows.append([count, label, f"{got['rate']:.2f}", f"{1e3 * got['p50']:.0f}", f"{1e3 * got['p99']:.0f}"])
            rows[-1] += [f"{got['pss'] / 2**20:.0f}", f"{got['start']:.1f}", *over]
    head = ["tasks", "contender (sessions that fit)", "requests/s", "p50, ms", "p99, ms", "memory, MiB", "start, s"]
    head += ["this server over it", *([f"`{other}` over it"] if other else [])]
    return "\n\n".join([preface(data, cells), table(head, rows), legend(data, cells), per_task(data, cells)])


def spread(values: list[float]) -> str:
    """Median, least and most."""
    return f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})" if values else ""


def preface(data: dict, cells: dict) -> str:
    machine, settings = data["machine"], data["settings"]
    rounds = min(len(rounds) for rounds in cells.values())
    return (
        f"{machine['processor']}, {machine['cores']} cores; {settings['backbone']} with adapters of width "
        f"{settings['width']} at every site; {settings['clients']} requests open, {settings['threads']} threads inside an "
        f"operator; medians of {rounds} round(s) of {settings['seconds']:g} s, servers restarted for each round and taking turns; "
        "memory is the proportional set size of all of a server's processes, start the time to its first answer."
    )


def legend(data: dict, cells: dict) -> str:
    raced = [who for who in WHAT if any(who in one for rounds in cells.values() for one in rounds)]
    options = data["settings"]["other_options"]
    lines = [f"* {shown(who, options)}: {what_is(who, data)}." for who in raced]
    lines.append("* Sessions that fit: into this server's memory at the same number of tasks, but at least one.")
    jpeg = max(summary(rounds, SERVER)["jpeg"] for rounds in cells.values())
    lines.append(
        f"* All logits agree within 1e-3 on lossless images{f', but for `{options}`' if options else ''}. The clients send JPEG, which this server's decoder and Pillow's "
        f"differ on by up to {jpeg:.0e} of a log-probability."
    )
    return "\n".join(lines)


def what_is(who: str, data: dict) -> str:
    options = data["settings"]["other_options"]
    if who == OTHER:
        return f"this server with `{options}`; its logits may differ from the bare program's"
    return WHAT[who]


def per_task(data: dict, cells: dict) -> str:
    """Memory of a resident task over its pack's bytes, from the fewest and the most tasks."""
    fewest, most = (extreme(cells, key=int) for extreme in (min, max))
    if "pack_bytes" not in data or fewest == most:
        return ""
    grown = summary(cells[most], SERVER)["pss"] - summary(cells[fewest], SERVER)["pss"]
    each, size = grown / (int(most) - int(fewest)), data["pack_bytes"]
    return (
        f"Each further task takes {each / 1024:.0f} KiB of this server's memory: {each / size:.2f} of its pack's "
        f"{size / 1024:.0f} KiB."
    )


def session_costs(data: dict) -> str:
    """What a session costs, and what follows for a hundred tasks in files of their own."""
    costs, cells = data.get("costs"), data.get("servers", {})
    if not costs:
        return ""
    words = {
        "shared": "one weights file for all tasks, in the page cache",
        "mapped": "the same, prepacking off: the weights' pages are shared",
        "own": "a self-contained file a task, in the page cache",
        "own, cold": "a self-contained file a task, read from the disk",
    }
    rows = [[words[key], f"{1e3 * c['load']:.0f}", f"{c['further'] / 2**20:.0f}"] for key, c in costs.items()]
    text = "What a session costs:\n\n" + table(["model file", "load, ms", "memory of another, MiB"], rows)
    if "100" in cells and "1" in cells:
        ours = summary(cells["100"], SERVER)["rate"]
        run = 1 / summary(cells["1"], BARE)["rate"] if any(BARE in one for one in cells["1"]) else None
        sessions = summary(cells["100"], ONNX)["sessions"]
        if run and sessions:
            missed = max(0.0, 1 - sessions / 100)
            rate = 1 / (missed * costs["own, cold"]["load"] + run)
            text += (
                f"\n\nWith 100 self-contained files, which no memory of this size keeps cached, a session a task comes to at "
                f"most {rate:.2f} requests/s by these figures (projected: every miss loads, then runs); this server's "
                f"{ours:.2f} are {ours / rate:.1f} times that."
            )
    return text


def overhead(data: dict) -> str:
    got = data.get("overhead")
    if not got:
        return ""
    return (
        f"A lone request takes {got['server']:.1f} ms, the bare program {got['bare']:.1f} ms in turns with it: the server "
        f"adds **{got['added']:.2f} ms** (medians of {got['pairs']} pairs). By the server's own count "
        f"{got['outside the run']:.2f} ms pass outside the program's run, {got['decode']:.2f} of them decoding and resizing. "
        f"Processor time: {got['server, processor']:.0f} ms a request, {got['bare, processor']:.0f} ms a bare run."
    )


def fork(data: dict) -> str:
    got = data.get("fork")
    if not got:
        return ""
    rows = [
        [
            f"{r['tasks']:.0f}",
            f"{r['apart']:.0f}",
            f"{r['together']:.0f}",
            f"{r['gain']:.2f}",
            f"{r['ideal']:.2f}",
            f"{r['gain'] / r['ideal']:.2f}",
        ]
        for r in got["rows"]
    ]
    head = ["tasks", "as many images, ms", "one image, ms", "speed-up", "by FLOPs", "of it"]
    known = got["known"]
    return (
        f"One image under several tasks, adapters in the last third (`server bench --fork`):\n\n{table(head, rows)}\n\n"
        f"A second task on an image that another saw takes {known['known'] / known['unknown']:.2f} of an unknown image's time "
        f"(by FLOPs {known['ideal']:.2f})."
    )


def sites(data: dict) -> str:
    got = data.get("sites")
    if not got:
        return ""
    times = got["milliseconds"]
    whole = next(iter(times.values()))
    rows = [[left, f"{t:.1f}", f"{t / whole:.3f}"] for left, t in times.items()]
    head = ["adapters left", "program, ms", "of all adapters"]
    return f"Adapters of width {got['width']} removed from the first block on:\n\n{table(head, rows)}"
