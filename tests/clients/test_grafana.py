"""The dashboard for Grafana fits the types of Grafana's own package, @grafana/schema."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from config.settings import ROOT

DASHBOARD = json.loads((ROOT / "deploy" / "grafana-dashboard.json").read_text())

# Of enumerations the package has those of TypeScript; JSON has their texts.
HEAD = """
import type { Dashboard, Panel, RowPanel } from "./node_modules/@grafana/schema/dist/types/raw/dashboard/x/types.gen";
import type * as timeseries from "./node_modules/@grafana/schema/dist/types/raw/composable/timeseries/panelcfg/x/types.gen";
import type * as stat from "./node_modules/@grafana/schema/dist/types/raw/composable/stat/panelcfg/x/types.gen";
type Texts<T> = T extends string ? `${T}` : T extends (infer U)[] ? Texts<U>[] : T extends object ? { [K in keyof T]: Texts<T[K]> } : T;
"""
OPTIONS = (
    *("--ignoreConfig", "--strict", "--noEmit", "--skipLibCheck"),
    *("--target", "es2022", "--module", "esnext", "--moduleResolution", "bundler"),
)


def typed_parts(dashboard: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Return the dashboard, and what its type leaves open, each with its type."""
    # The package lacks what the data source adds to an annotation.
    added = {"target", "titleFormat"}
    notes = [{name: note[name] for name in note.keys() - added} for note in dashboard["annotations"]["list"]]
    yield "Dashboard", dashboard | {"annotations": {"list": notes}}
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            yield "RowPanel", panel
            continue
        yield "Panel", panel
        yield f"{panel['type']}.Options", panel["options"]
        if "custom" in panel["fieldConfig"]["defaults"]:
            yield f"{panel['type']}.FieldConfig", panel["fieldConfig"]["defaults"]["custom"]


@pytest.mark.services
def test_types_of_grafana_fit(node: Callable[..., str], tmp_path: Path) -> None:
    parts = list(typed_parts(DASHBOARD))
    wrong = "// @ts-expect-error\nexport const wrong: Texts<Panel> = {type: 'stat', gridPos: {h: 1, w: 1, x: 0, z: 0}};\n"
    lines = [f"export const part{number}: Texts<{kind}> = {json.dumps(part)};\n" for number, (kind, part) in enumerate(parts)]
    (tmp_path / "dashboard.ts").write_text("".join((HEAD, wrong, *lines)))
    node("node_modules/tsc/bin/tsc", *OPTIONS, "dashboard.ts")
