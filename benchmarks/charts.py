"""Draw figures as SVG charts: the same figures give the same bytes, text stays text, and a dark page gets a dark chart."""

from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")

from matplotlib import pyplot as plt
from matplotlib.ticker import EngFormatter

from benchmarks.figures import Figures, median
from benchmarks.goals import DATABASES, Parts
from benchmarks.goals import TITLES as DATABASE_TITLES
from benchmarks.report import number, requests_of, sizes_of
from benchmarks.storm import PEERS, RATE_OF_PEERS

#: Names for labels.
NAMES = {
    "poort": "Poort",
    "bare": "bare Flask",
    "bare-stock": "bare Flask,\nstock gthread",
    "tutorial": "Flask,\nas documented",
    "fastapi": "FastAPI,\nas documented",
    "tuned": "FastAPI, tuned",
}

KINDS = {"item": "A user", "list": "A page of 30 users"}

# Okabe and Ito's palette, which color-blind readers can tell apart.
COLORS = {
    "poort": "#0072B2",
    "bare": "#999999",
    "bare-stock": "#999999",
    "tutorial": "#E69F00",
    "fastapi": "#009E73",
    "tuned": "#009E73",
}
LINES = ("#0072B2", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#666666")

STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "poort",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.constrained_layout.use": True,
}

# matplotlib draws in black on white. A browser that prefers dark pages applies these rules to the picture.
DARK = """\
@media (prefers-color-scheme: dark) {
  text { fill: #e2e9ee }
  [style*="fill: #ffffff"] { fill: #1b2126 !important }
  [style*="stroke: #000000"] { stroke: #a5b4be !important }
  [style*="stroke: #dddddd"] { stroke: #3a444c !important }
  [style*="stroke: #666666"] { stroke: #b0b8bd !important }
}
"""


def draw(parts: Parts, folder: Path) -> None:
    """Draw the chart of each part that has one."""
    folder.mkdir(exist_ok=True)
    with mpl.rc_context(STYLE):
        for name, drawing in {"rates": _rates, "databases": _databases, "storm": _storm, "growth": _growth}.items():
            if parts.get(name):
                figure = drawing(parts[name])
                file = folder / f"{name}.svg"
                figure.savefig(file, metadata={"Date": None, "Creator": None})
                plt.close(figure)
                file.write_text(with_dark_colors(file.read_text()))


def with_dark_colors(svg: str) -> str:
    """Add the rules of DARK to the style sheet that matplotlib has written."""
    head, end, rest = svg.partition("</style>")
    return f"{head}\n{DARK}{end}{rest}"


def _rates(figures: Figures) -> Any:
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.8))
    for axis, (what, title) in zip(axes, KINDS.items(), strict=True):
        _bars(axis, figures, f"{what}/16", f"{title}, 16 connections")
    return figure


def _databases(figures: Figures) -> Any:
    kinds = [kind for kind in DATABASES if f"poort/item/16/{kind}" in figures]
    figure, axes = plt.subplots(len(kinds), 2, figsize=(9, 2.8 * len(kinds)), squeeze=False)
    for row, kind in zip(axes, kinds, strict=True):
        for axis, (what, title) in zip(row, KINDS.items(), strict=True):
            _bars(axis, figures, f"{what}/16/{kind}", f"{title}, {DATABASE_TITLES[kind]}")
    return figure


def _bars(axis: Any, figures: Figures, what: str, title: str) -> None:
    names = [name for name in NAMES if f"{name}/{what}" in figures]
    bars = axis.barh(
        [NAMES[name] for name in names],
        [median(figures[f"{name}/{what}"]) for name in names],
        color=[COLORS[name] for name in names],
    )
    axis.bar_label(bars, fmt="{:,.0f}", padding=3)
    axis.invert_yaxis()
    axis.margins(x=0.15)
    axis.set_title(title, fontsize=11)
    axis.set_xlabel("requests a second (more is better)")
    axis.xaxis.set_major_formatter("{x:,.0f}")


def _storm(figures: Figures) -> Any:
    figure, axis = plt.subplots(figsize=(9, 3.2))
    names = [name for name in ("poort", *PEERS) if f"{name}/{RATE_OF_PEERS}/storm/p99" in figures]
    for row, name in enumerate(names):
        for shift, when in ((-0.17, "idle"), (0.17, "storm")):
            p50, p99 = (median(figures[f"{name}/{RATE_OF_PEERS}/{when}/p{percent}"]) for percent in (50, 99))
            color = COLORS[name] if when == "storm" else "#999999"
            axis.plot([p50, p99], [row + shift] * 2, color=color, linewidth=5, solid_capstyle="round")
            axis.text(p99 * 1.25, row + shift, f"{when}: p50 {number(p50)} ms, p99 {number(p99)} ms", va="center", fontsize=9)
    axis.set_xscale("log")
    axis.set_xlim(0.5, 600_000)
    axis.set_yticks(range(len(names)), [NAMES[name] for name in names])
    axis.set_ylim(len(names) - 0.5, -0.5)
    axis.xaxis.set_major_formatter("{x:,g}")
    axis.set_xlabel(f"ms from p50 to p99 (less is better), {RATE_OF_PEERS} reads a second, idle and while 16 clients sign in")
    return figure


def _growth(figures: Figures) -> Any:
    kinds = [kind for kind in DATABASES if sizes_of(figures, kind)]
    figure, axes = plt.subplots(1, len(kinds), figsize=(9, 3.4), sharey=True, squeeze=False)
    for axis, kind in zip(axes[0], kinds, strict=True):
        sizes = sizes_of(figures, kind)
        for what, color in zip(requests_of(figures), LINES, strict=False):
            values = [median(figures[f"{kind}/{size}/{what}"]) for size in sizes]
            axis.plot(sizes, values, marker="o", markersize=3, color=color, label=what)
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.minorticks_off()
        axis.xaxis.set_major_formatter(EngFormatter(sep=""))
        axis.yaxis.set_major_formatter("{x:,g}")
        axis.grid(visible=True, color="#dddddd", linewidth=0.6)
        axis.set_title(DATABASE_TITLES[kind], fontsize=11)
        axis.set_xlabel("users")
    axes[0][0].set_ylabel("ms a request (less is better)")
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=6, fontsize=8, frameon=False)
    return figure
