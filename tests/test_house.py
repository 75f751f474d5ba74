"""A floor imports only from the floors below it."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src" / "polyscan"
GROUND = {"errors", "scan_key", "modality", "parallel", "progress", "cores", "devices", "geometry", "files", ""}
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
    "missing": GROUND | {"fusion"},
    "networks": GROUND | {"fusion"},
    "learning": GROUND | {"fusion", "networks"},
    "translation": GROUND | {"study", "formats", "learning", "evaluation"},
    "objectives": GROUND | {"fusion", "missing", "networks", "learning"},
    "inference": GROUND | {"study", "fusion", "networks"},
    "attribution": GROUND | {"networks"},
    "evaluation": GROUND | {"study"},
    "baselines": GROUND | {"study", "formats", "evaluation"},
    "transforms": GROUND | {"study", "formats", "evaluation", "networks", "inference", "attribution"},
    "bundle": GROUND
    | {"study", "formats", "preprocess", "fusion", "missing", "networks", "inference", "learning", "objectives"}
    | {"evaluation", "transforms"},
    "phantom": GROUND | {"study", "formats"},
    "export": GROUND | {"study", "dicom", "formats", "preprocess", "attribution", "bundle", "report"},
    "batch": GROUND | {"study", "discovery", "preprocess", "inference", "bundle", "report"},
    "hospital": GROUND | {"study", "dicom", "discovery", "inference", "bundle", "batch", "export"},
    "methods": GROUND
    | {"study", "registration", "preprocess", "fusion", "missing", "networks", "inference", "learning", "evaluation"}
    | {"attribution", "transforms", "bundle", "compare"},
    "report": GROUND | {"study", "dicom", "formats", "evaluation"},
    "label_app": GROUND
    | {"study", "dicom", "formats", "discovery", "preprocess", "evaluation", "transforms", "bundle"},
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
    assert parted - {"bundle/config.py"} == {"scan_key.py"}  # there it is MONAI's reference to an entry of a config


def test_words_that_the_glossary_gave_up_are_no_identifiers():
    """See docs/glossary.md; ``prepare(like=...)`` is of the stable interface."""
    old = {
        *(
            "ReadStudyd",
            "Whitend",
            "also",
            "answer",
            "after",
            "cycle",
            "engines",
            "fall",
            "give",
            "joined",
            "lay",
            "lead",
        ),
        *("lift", "like", "measured", "nothing", "once", "owners", "search", "shipped", "similarity", "spread"),
        *("straighten", "tells", "then", "there", "trunk", "turn", "unlike", "waves", "whole_file"),
    }
    found = {
        f"{file.relative_to(SOURCE).as_posix()}: {name}"
        for file in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        for name in (file.stem, *identifiers(node))
        if {name, name.lower().strip("_")} & old
    }
    assert found == {"preprocess/prepare.py: like"}


def identifiers(node: ast.AST) -> list[str]:
    """The names that a node gives or uses, those of other packages' attributes (``re.search``) left out."""
    if isinstance(node, ast.Attribute):
        return [node.attr] if isinstance(node.value, ast.Name) and node.value.id == "self" else []
    if isinstance(node, ast.Import | ast.ImportFrom):
        return [alias.asname or alias.name for alias in node.names]
    named = (getattr(node, field, None) for field in ("id", "name", "arg"))
    is_keyword = isinstance(node, ast.keyword)  # what a call names is an argument of the function that it calls
    return [] if is_keyword else [name for name in named if isinstance(name, str)]


def test_words_that_had_two_meanings_in_inference_have_one():
    old = {"decide", "embed", "on_grid", "sampled"}
    for file in (f for room in ("networks", "inference", "learning") for f in (SOURCE / room).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            assert not set(identifiers(node)) & old, f"{file} line {node.lineno}: see docs/glossary.md"


def test_public_methods_are_documented_where_they_are_promised():
    """In their class, or in one of polyscan's that it derives from, from where ``help`` takes it."""
    nodes = (node for file in SOURCE.rglob("*.py") for node in ast.walk(ast.parse(file.read_text())))
    classes: dict[str, list[ast.ClassDef]] = {}
    for node in nodes:
        if isinstance(node, ast.ClassDef):
            classes.setdefault(node.name, []).append(node)

    def documented(of: ast.ClassDef, name: str) -> bool:
        own = [node for node in of.body if isinstance(node, ast.FunctionDef) and node.name == name]
        bases = [base for each in of.bases for base in classes.get(getattr(each, "attr", getattr(each, "id", "")), [])]
        return any(map(ast.get_docstring, own)) or any(documented(base, name) for base in bases)

    for of in (each for name, same in classes.items() for each in same if not name.startswith("_")):
        for node in of.body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                assert documented(of, node.name), f"{of.name}.{node.name}"


def test_inference_asks_a_network_nothing_but_its_contract():
    for file in (f for room in ("inference", "attribution") for f in (SOURCE / room).rglob("*.py")):
        called = {node.id for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Name)}
        assert not called & {"hasattr", "getattr", "isinstance"}, file


def test_files_of_tests_have_names_of_their_own():
    """Two of one name cannot be collected together, whatever folders they are in."""
    names = [path.name for path in Path(__file__).parent.rglob("test_*.py")]
    assert len(names) == len(set(names)), sorted({name for name in names if names.count(name) > 1})


def test_every_test_can_fail():
    """It asserts, or expects an error, by itself or by a function of the tests that it, or one of those, calls.

    A name means what it means where it is called: functions of the file, of the tests' files that it imports, and of
    ``conftest.py`` beside or above it.
    """
    trees = {file: list(ast.walk(ast.parse(file.read_text()))) for file in Path(__file__).parent.rglob("*.py")}
    defined: dict[Path, dict[str, set[str]]] = {file: {} for file in trees}
    for file, nodes in trees.items():
        for node in nodes:
            if isinstance(node, ast.FunctionDef):
                inside = list(ast.walk(node))
                names = called(inside) | ({"assert"} if asserts(inside) else set())
                defined[file].setdefault(node.name, set()).update(names)
    tests, unable = 0, []
    for file in (file for file in trees if file.name.startswith("test_")):
        known: dict[str, set[str]] = {}
        for one in [*(above / "conftest.py" for above in file.parents), *imported(trees[file], trees), file]:
            known |= defined.get(one, {})
        checks, grown = {"assert"}, 0
        while grown != len(checks):
            grown = len(checks)
            checks |= {name for name, names in known.items() if names & checks}
        own = [name for name in defined[file] if name.startswith("test_")]
        unable += [f"{file}: {name}" for name in own if name not in checks]
        tests += len(own)
    assert not unable
    assert tests > 1000


def imported(nodes: list[ast.AST], files: Iterable[Path]) -> set[Path]:
    """Those of some files that a tree imports from, or by their own name."""
    named = {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    named |= {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return {file for file in files if file.stem in named}


def called(nodes: list[ast.AST]) -> set[str]:
    """The last names of what is called."""
    calls = (node.func for node in nodes if isinstance(node, ast.Call))
    return {getattr(call, "attr", getattr(call, "id", "")) for call in calls}


def asserts(nodes: list[ast.AST]) -> bool:
    """Whether they hold an assertion, or a call that is one."""
    words = ("raises", "fail", "warns", "assert_")
    return any(isinstance(node, ast.Assert) for node in nodes) or any(n.startswith(words) for n in called(nodes))


def test_a_file_is_run_by_one_process(request):
    """Where several run, xdist has read the mark that tests/conftest.py sets: it does so once, in a hook of its own."""
    if not getattr(request.config.option, "loadgroup", False):
        pytest.skip("one process runs all tests; with -n 2 --dist loadgroup there are two")
    assert request.node.nodeid.endswith("@test_house.py")


def test_an_image_is_given_what_the_package_is_made_of():
    tomllib = pytest.importorskip("tomllib", reason="Python 3.11 has it")
    told = tomllib.loads((SOURCE.parents[1] / "pyproject.toml").read_text())
    wheel, project = told["tool"]["hatch"]["build"]["targets"]["wheel"], told["project"]
    files = {"pyproject.toml", project["readme"], *project["license-files"]}
    kept = {line[1:] for line in (SOURCE.parents[1] / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert kept == {"src", *files, *wheel["force-include"]}
