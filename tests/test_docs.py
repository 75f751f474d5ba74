"""What is written about layers is what they are."""

from __future__ import annotations

import json
import pkgutil
import re
import runpy
import shlex
import shutil
from pathlib import Path

import pytest

from polyscan.cli import parser
from polyscan.phantom import make_cohort

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"


def test_pages_of_layers_are_up_to_date():
    pages = runpy.run_path(str(DOCS / "fusion" / "make.py"))["pages"]()
    stale = [file for file, text in pages.items() if (DOCS / "fusion" / file).read_text() != text]
    assert not stale, "run python docs/fusion/make.py"
    left = {path.name for path in (DOCS / "fusion").glob("*.md")} - pages.keys() - {"cost.md", "accuracy.md"}
    assert not left, "pages of layers that are no more"


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> Path:
    """Where pages begin: ward/STS_002 with CT, T1 and PET; studies/patient-1 as DICOM."""
    folder = tmp_path_factory.mktemp("pages")
    for name, patient, kind in (("ward", "STS_002", "nifti"), ("studies", "patient-1", "dicom")):
        modalities = ("CT", "T1", "PET") if kind == "nifti" else ("CT",)
        make_cohort(folder / name, subjects=1, seed=2, format=kind, modalities=modalities, missing=0, jobs=1)
        (folder / name / "sub-001").rename(folder / name / patient)
        shutil.rmtree(folder / name / "derivatives")
    return folder


@pytest.mark.parametrize(
    ("page", "least", "needs"),
    [
        ("README.md", 2, "torch"),
        ("docs/networks.md", 6, "torch"),
        ("docs/ensemble.md", 2, "cca_zoo"),
        ("docs/dicom.md", 1, "torch"),
        ("docs/tutorial.md", 6, "matplotlib"),
        ("bundles/glioma_survival/docs/README.md", 1, "torch"),
    ],
)
def test_code_in_a_page_runs(page, least, needs, folders, tmp_path, monkeypatch):
    pytest.importorskip(needs)
    monkeypatch.chdir(tmp_path if page == "docs/tutorial.md" else folders)
    names: dict[str, object] = {}
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    assert len(blocks) >= least
    for block in blocks:
        exec(compile(block, page, "exec"), names)


def test_the_notebook_is_the_tutorial():
    """Its code is the page's, which the test above runs, and what it showed stands in it."""
    cells = json.loads((DOCS / "tutorial.ipynb").read_text())["cells"]
    blocks = re.findall(r"```python\n(.*?)\n```", (DOCS / "tutorial.md").read_text(), re.DOTALL)
    assert ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"] == blocks, (
        "run python docs/notebook.py"
    )
    kinds = [output["output_type"] for cell in cells for output in cell.get("outputs", [])]
    assert set(kinds) == {"stream", "display_data"}
    assert kinds.count("display_data") == 3


def commands() -> list[str]:
    """Every command of polyscan that a page shows in a block of its own, continued lines joined."""
    found = []
    for page in [ROOT / "README.md", *DOCS.rglob("*.md"), *(ROOT / "bundles").glob("*/docs/README.md")]:
        for block in re.findall(r"^```(?:bash|sh)?\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE):
            block = re.sub(r"'\w+=\{[^']*'", lambda quoted: quoted.group().replace("\n", " "), block)
            lines = re.sub(r"\\\n\s*", " ", block).splitlines()
            found += [line.strip() for line in lines if line.strip().startswith("polyscan ")]
    return list(dict.fromkeys(found))


@pytest.mark.parametrize("command", commands())
def test_a_command_in_a_page_is_one(command, capsys):
    """Its options exist and take what is shown; what stands in brackets is given, and of choices the first."""
    for placeholder, value in (("I/N", "1/2"), (" N ", " 4 "), ("$SLURM_ARRAY_TASK_ID", "1"), ("...", "")):
        command = command.replace(placeholder, value)
    command = re.sub(r" \| --[^\]]*|(?<=\w)\|[\w|]+", "", command)
    words = [word if "=" in word else word.strip("[]") for word in shlex.split(command, comments=True)]
    try:
        parser().parse_args(words[1:])
    except SystemExit:
        pytest.fail(f"{command}: {capsys.readouterr().err}")


def test_the_way_of_a_study_names_what_there_is():
    """Every ``polyscan.…`` of docs/architecture.md can be imported."""
    names = set(re.findall(r"`(polyscan(?:\.\w+)+)`", (DOCS / "architecture.md").read_text()))
    assert len(names) > 20
    for name in sorted(names):
        assert pkgutil.resolve_name(name), name


def test_there_are_commands_in_pages():
    assert len(commands()) > 30
