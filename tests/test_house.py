"""A floor imports only from the floors below it."""

from __future__ import annotations

import ast
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1] / "src" / "polyscan"
GROUND = {"errors", "modality", "study", "parallel", ""}
FLOORS = {
    "io": GROUND,
    "preprocess": GROUND | {"io"},
    "fusion": GROUND,
    "networks": GROUND | {"fusion"},
    "learning": GROUND | {"fusion"},
    "inference": GROUND | {"fusion", "networks"},
    "phantom": GROUND | {"io"},
    "workflows": GROUND | {"io", "inference"},
    "report": GROUND | {"io"},
    "label_app": GROUND | {"io", "preprocess", "workflows"},
}


def test_imports_point_downwards():
    checked = 0
    for file in SOURCE.rglob("*.py"):
        floor = file.relative_to(SOURCE).parts[0]
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "polyscan":
                target = (node.module or "").removeprefix("polyscan").removeprefix(".").split(".")[0]
                allowed = FLOORS.get(floor)
                assert allowed is None or target in allowed | {floor}, f"{file} imports {node.module}"
                checked += 1
    assert checked > 50
