"""What is written about layers is what they are."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[1] / "docs"


def test_pages_of_layers_are_up_to_date():
    pages = runpy.run_path(str(DOCS / "fusion" / "make.py"))["pages"]()
    stale = [file for file, text in pages.items() if (DOCS / "fusion" / file).read_text() != text]
    assert not stale, "run python docs/fusion/make.py"
    left = {path.name for path in (DOCS / "fusion").glob("*.md")} - pages.keys() - {"cost.md", "accuracy.md"}
    assert not left, "pages of layers that are no more"


@pytest.mark.parametrize(("page", "least", "needs"), [("networks.md", 6, "torch"), ("ensemble.md", 3, "cca_zoo")])
def test_code_in_a_page_runs(page, least, needs):
    pytest.importorskip(needs)
    names: dict[str, object] = {}
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)
    assert len(blocks) >= least
    for block in blocks:
        exec(compile(block, f"docs/{page}", "exec"), names)
