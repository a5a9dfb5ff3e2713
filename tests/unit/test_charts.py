"""Charts fit light and dark pages, and say which way is better."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

CHARTS = sorted((ROOT / "benchmarks" / "charts").glob("*.svg"))


@pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: chart.stem)
def test_a_chart_has_dark_colors_for_all_that_is_black_or_white(chart: Path) -> None:
    svg = chart.read_text()
    dark = svg.partition("(prefers-color-scheme: dark)")[2].partition("</style>")[0]
    used = set(re.findall(r"(?:fill|stroke): #(?:ffffff|000000)", svg))
    assert used
    assert [color for color in used if f'[style*="{color}"]' not in dark] == []
    assert "text { fill:" in dark


@pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: chart.stem)
def test_a_chart_says_which_way_is_better(chart: Path) -> None:
    assert re.search(r"\((more|less) is better\)", chart.read_text())
