"""The chart: one panel for each workload, one bar for each server, its length the ratio to the floor.

Colours are from Okabe and Ito's palette, which people with any colour vision tell apart; text and lines are
a grey that reads on white and on black, and there is no background.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from benchmarks.report import Cells, ratio
from benchmarks.workloads import WORKLOADS, Workload

GREY = "#7d7d7d"
COLOURS = {"floor": GREY, "native": "#0072b2", "portable": "#56b4e9", "peer": "#e69f00"}
LEGEND = {
    "floor": "C program, no HTTP",
    "native": "rocket, native engine",
    "portable": "rocket, portable engine",
    "peer": "other servers",
}
COLUMNS = 2
PANEL = 460  # pixels from one panel to the next
LABEL = 150  # for the server's name
BAR = 230  # the longest bar
MOST = 6.0  # a longer bar is cut and says so: the slowest would flatten all others
ROW, TITLE, GAP, TOP = 17, 26, 22, 40


def kind(server: str) -> str:
    """The colour's name."""
    if server == "rocket-python":
        return "portable"
    return "native" if server.startswith("rocket") else "floor" if server == "floor" else "peer"


def panels(cells: Cells) -> list[tuple[Workload, list[tuple[str, float]]]]:
    """The workloads that were measured with a floor, and their servers' ratios, cheapest first."""
    found = []
    for workload in WORKLOADS.values():
        counts = [count for count in workload.connections if (workload.name, count, "floor") in cells]
        if workload.kind != "load" or not counts:
            continue
        servers = [server for name, count, server in cells if (name, count) == (workload.name, counts[0])]
        ratios = [(server, ratio(cells, workload.name, counts[0], server)) for server in servers]
        bars = sorted(
            ((server, value) for server, value in ratios if value is not None), key=lambda bar: bar[1]
        )
        found.append((workload, bars))
    return found


def svg(cells: Cells) -> str:
    """The whole picture."""
    drawn: list[str] = []
    bottoms = [TOP] * COLUMNS
    for workload, bars in panels(cells):
        column = bottoms.index(min(bottoms))
        drawn += panel(workload, bars, column * PANEL, bottoms[column])
        bottoms[column] += TITLE + ROW * len(bars) + GAP
    width, height = PANEL * COLUMNS, max(bottoms)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}" font-family="system-ui, sans-serif" font-size="12" '
            f'fill="{GREY}">',
            "<title>CPU per request, as a multiple of the floor</title>",
            *legend(),
            *drawn,
            "</svg>\n",
        ]
    )


def legend() -> Iterator[str]:
    for number, (name, text) in enumerate(LEGEND.items()):
        left = 10 + number * 190
        yield f'<rect x="{left}" y="10" width="12" height="12" fill="{COLOURS[name]}"/>'
        yield f'<text x="{left + 18}" y="20">{escape(text)}</text>'


def panel(workload: Workload, bars: list[tuple[str, float]], left: int, top: int) -> Iterator[str]:
    what = "time to the answer" if workload.metric == "p50_us" else "CPU per request"
    title = f'<tspan font-weight="bold">{workload.name}</tspan> {what}, x floor'
    yield f'<text x="{left + 10}" y="{top + 14}">{title}</text>'
    for number, (server, value) in enumerate(bars):
        y = top + TITLE + number * ROW
        length = min(value, MOST) / MOST * BAR
        weight = ' font-weight="bold"' if server.startswith("rocket") else ""
        yield f'<text x="{left + LABEL - 6}" y="{y + 10}" text-anchor="end"{weight}>{escape(server)}</text>'
        yield (
            f'<rect x="{left + LABEL}" y="{y}" width="{length:.1f}" height="{ROW - 4}" '
            f'fill="{COLOURS[kind(server)]}"/>'
        )
        if value > MOST:  # two strokes across the end: the bar goes on
            end = left + LABEL + BAR - 14
            for stroke in (end, end + 6):
                yield f'<path d="M{stroke} {y + ROW - 2}l5 -{ROW}" stroke="{GREY}" stroke-width="2"/>'
        yield f'<text x="{left + LABEL + length + 6:.1f}" y="{y + 10}"{weight}>{value:.2f}</text>'
    one = left + LABEL + BAR / MOST
    bottom = top + TITLE + ROW * len(bars)
    yield f'<path d="M{one:.1f} {top + TITLE - 4}V{bottom}" stroke="{GREY}" stroke-dasharray="2 3"/>'
