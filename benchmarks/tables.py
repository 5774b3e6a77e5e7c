"""The page for people, made from the runs."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.goals import Goal, goals
from benchmarks.report import Cells, medians, ratio
from benchmarks.workloads import WORKLOADS, Workload

INTRODUCTION = """\
# Benchmarks

Made by `make bench`, which measures everything again ([how, and how to read it](../benchmarks/README.md));
every single run is in [latest.json](../benchmarks/results/latest.json).

![CPU per request as a multiple of a C program that only receives and sends](benchmarks.svg)

**x floor** is what counts: the CPU of all processes of a server for one request, over that of a C program
that receives the same requests and sends an answer of the same length without looking at anything, both
measured within seconds of each other; the median of such pairs. Below about 5 % differences are noise;
microseconds do not travel between machines, ratios do."""


def markdown(document: Mapping[str, Any]) -> str:
    """The page, from the JSON document."""
    cells = medians(document["runs"])
    facts, settings = document["machine"], document["settings"]
    lines = [
        INTRODUCTION,
        "",
        f"{facts['cpu']}, {facts['cores']} cores, Linux {facts['kernel']}, Python {facts['python']}, "
        f"{document['date']}. One process that serves, on core {settings['server_core']}; wrk with one "
        f"thread on core {settings['load_core']}; medians of {document['rounds']} starts of every server, "
        f"with {settings['turns']} turns of {settings['seconds']:g} s each.",
        "",
    ]
    for workload in WORKLOADS.values():
        if workload.kind == "load":
            lines += load_lines(workload, cells)
    lines += memory_lines(cells, settings["idle_connections"])
    lines += goal_lines(goals(cells))
    lines += closing_lines(document, cells)
    return "\n".join(lines).rstrip("\n") + "\n"


def load_lines(workload: Workload, cells: Cells) -> list[str]:
    """One workload: servers by their ratio with the first number of connections that was measured."""
    counts = sorted(
        {count for name, count, _ in cells if name == workload.name},
        key=lambda count: (count != workload.connections[0], count),
    )
    if not counts:
        return []
    main = counts[0]
    servers = [server for name, count, server in cells if (name, count) == (workload.name, main)]
    servers.sort(key=lambda server: cells[workload.name, main, server][workload.metric])
    ratios = " | ".join(f"x floor, {count}" for count in counts)
    compared = "p50 us (min–max)" if workload.metric == "p50_us" else "CPU us/request (min–max)"
    shape = f"; {main} connections where nothing else is said" if main != 1 else ""
    return [
        f"## {workload.name}",
        "",
        f"{workload.about[0].upper()}{workload.about[1:]}{shape}.",
        "",
        f"| server | {compared} | {ratios} | in user space | requests/s | p50 ms | p99 ms | errors | runs |",
        "|---" * (8 + len(counts)) + "|",
        *(load_row(workload, cells, server, counts) for server in servers),
        "",
    ]


def load_row(workload: Workload, cells: Cells, server: str, counts: list[int]) -> str:
    cell = cells[workload.name, counts[0], server]
    times = " | ".join(
        # wrk "corrects" latencies by the mean time between answers, which makes nonsense of pipelined ones
        "-" if workload.depth > 1 and not workload.interface else f"{cell[name] / 1e3:.2f}"
        for name in ("p50_us", "p99_us")
    )
    ratios = " | ".join(shown(ratio(cells, workload.name, count, server)) for count in counts)
    return (
        f"| {emphasised(server)} | {cell[workload.metric]:.2f} ({cell['least']:.2f}–{cell['most']:.2f}) "
        f"| {ratios} | {cell['user_share']:.0%} | {cell['requests_per_s'] / 1e3:.1f}k "
        f"| {times} | {cell['errors']:g} | {cell['runs']:g} |"
    )


def memory_lines(cells: Cells, connections: int) -> list[str]:
    """Idle connections and processes: private memory, cheapest connection first."""
    servers = {server for name, _, server in cells if WORKLOADS[name].kind != "load"}
    if not servers:
        return []
    idle = {name: cells.get(("idle", 0, name), {}).get("private_bytes") for name in servers}
    memory = {name: cells.get(("memory", 0, name), {}) for name in servers}
    lines = [
        "## Memory",
        "",
        f"Private bytes (`Private_Clean` + `Private_Dirty`): what each of {connections} kept connections "
        "adds while it waits, kernel buffers not counted; and the process that serves, and all processes of "
        "the server, after the start and one answer.",
        "",
        "| server | bytes for an idle connection | MiB of the process that serves | MiB of all processes |",
        "|---|---|---|---|",
    ]
    for name in sorted(servers, key=lambda name: (idle[name] is None, idle[name] or 0.0, name)):
        sizes = [memory[name].get(metric) for metric in ("process_bytes", "tree_bytes")]
        shown_sizes = " | ".join("-" if size is None else f"{size / 2**20:.1f}" for size in sizes)
        each = "-" if idle[name] is None else f"{idle[name]:.0f}"
        lines.append(f"| {emphasised(name)} | {each} | {shown_sizes} |")
    return [*lines, ""]


def goal_lines(found: list[Goal]) -> list[str]:
    if not found:
        return []
    lines = ["## Goals", "", "| server | | at most | reached, by connections | |", "|---|---|---|---|---|"]
    for goal in found:
        reached = ", ".join(
            f"{count}: {value:.2f}" if count else f"{value:,.0f}" for count, value in goal.reached.items()
        )
        most = f"{'<' if goal.below else '≤'} {goal.most:,}"
        verdict = "met" if goal.is_met else "**not met**"
        lines.append(f"| {goal.server} | {goal.what} | {most} | {reached} | {verdict} |")
    return [*lines, ""]


def closing_lines(document: Mapping[str, Any], cells: Cells) -> Iterator[str]:
    """Versions, and whatever makes a number less than it seems."""
    yield from ("## Notes", "")
    versions = ", ".join(f"{name} {version}" for name, version in document["versions"].items())
    yield f"- Versions: {versions}."
    waits = [cell["waited_share"] for (_, _, server), cell in cells.items() if server == "floor"]
    if waits:
        yield (
            f"- Other work on the machine kept the floor from its core {statistics.median(waits):.1%} of the "
            f"time, in the worst cell {max(waits):.1%}."
        )
    for title, reasons in (("Left out", "left_out"), ("Failed in some rounds", "failed_once")):
        for name, why in document[reasons].items():
            yield f"- {title}: {name} ({why})."
    for (name, count, server), cell in cells.items():
        floor = cells.get((name, count, "floor"))
        if server.startswith("rocket") and floor and cell["answer_bytes"] != floor["answer_bytes"]:
            sizes = f"{cell['answer_bytes']:g} bytes, the floor's {floor['answer_bytes']:g}"
            yield f"- {server} {name}, {count} connections: the answer is {sizes}."


def shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def emphasised(server: str) -> str:
    return f"**{server}**" if server.startswith("rocket") else server
