"""A floor imports only from the floors below it."""

from __future__ import annotations

import ast
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1] / "src" / "polyscan"
GROUND = {"errors", "scan_key", "modality", "parallel", "geometry", "files", ""}
FLOORS = {
    "files": {"errors", ""},
    "study": GROUND,
    "dicom": GROUND | {"study"},
    "formats": GROUND | {"study", "dicom"},
    "discovery": GROUND | {"study", "dicom", "formats"},
    "registration": GROUND | {"study", "formats"},
    "preprocess": GROUND | {"study", "dicom", "formats", "registration"},
    "fusion": GROUND,
    "ensemble": GROUND | {"fusion"},
    "networks": GROUND | {"fusion"},
    "learning": GROUND | {"fusion", "networks"},
    "inference": GROUND | {"fusion", "networks"},
    "evaluation": GROUND | {"study"},
    "transforms": GROUND | {"study", "formats", "evaluation", "networks", "inference"},
    "bundle": GROUND | {"study", "formats", "preprocess", "fusion", "networks", "inference", "learning", "transforms"},
    "phantom": GROUND | {"study", "formats"},
    "batch": GROUND | {"study", "discovery", "preprocess", "bundle", "report"},
    "report": GROUND | {"study", "dicom", "formats"},
    "label_app": GROUND | {"study", "dicom", "formats", "discovery", "preprocess", "transforms", "bundle"},
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


def test_keys_of_scans_are_written_and_read_in_one_place():
    """No other file takes ``T1c@2`` apart or puts it together."""
    parted = {
        file.relative_to(SOURCE).as_posix()
        for file in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Constant) and node.value == "@"
    }
    assert parted - {"bundle/run.py"} == {"scan_key.py"}  # there it is MONAI's reference to an entry of a config


def test_one_word_has_one_meaning():
    """The words that docs/glossary.md gave up are no identifiers any more, where they were."""
    old = {
        "Once",
        "Nothing",
        "answer",
        "decide",
        "embed",
        "joined",
        "lift",
        "measured",
        "on_grid",
        "sampled",
        "there",
        "trunk",
    }
    files = [f for room in ("networks", "inference", "learning") for f in (SOURCE / room).rglob("*.py")]
    for file in [*files, *SOURCE.rglob("explain.py")]:
        for node in ast.walk(ast.parse(file.read_text())):
            names = {getattr(node, "id", None), getattr(node, "name", None), getattr(node, "arg", None)}
            names.add(node.attr if isinstance(node, ast.Attribute) else None)
            assert not names & old, f"{file} line {node.lineno}: see docs/glossary.md"


def test_inference_asks_a_network_nothing_but_its_contract():
    for file in (SOURCE / "inference").rglob("*.py"):
        called = {node.id for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Name)}
        assert not called & {"hasattr", "getattr", "isinstance"}, file


def test_files_of_tests_have_names_of_their_own():
    """Two of one name cannot be collected together, whatever folders they are in."""
    names = [path.name for path in Path(__file__).parent.rglob("test_*.py")]
    assert len(names) == len(set(names)), sorted({name for name in names if names.count(name) > 1})
