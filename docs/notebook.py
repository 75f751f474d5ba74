"""Run ``docs/tutorial.md`` as a notebook.

    python docs/notebook.py

It writes ``docs/tutorial.ipynb`` with all outputs, and what those show as the pictures of the page.
"""

from __future__ import annotations

import base64
import re
import tempfile
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient

DOCS = Path(__file__).resolve().parent
PICTURE = re.compile(r"^!\[.*\]\((images/.*\.png)\)\n?", re.MULTILINE)


def main() -> None:
    """Write the notebook and the pictures, in the order of the page."""
    page = (DOCS / "tutorial.md").read_text()
    notebook = jupytext.reads(PICTURE.sub("", page), "md")  # in a notebook a cell itself shows its picture
    notebook.metadata.pop("jupytext", None)
    with tempfile.TemporaryDirectory() as folder:
        NotebookClient(notebook, record_timing=False, resources={"metadata": {"path": folder}}).execute()
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"  # the same from run to run
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    shown = [output.data["image/png"] for output in outputs if "image/png" in output.get("data", {})]
    for place, picture in zip(PICTURE.findall(page), shown, strict=True):
        (DOCS / place).write_bytes(base64.b64decode(picture))
    nbformat.write(notebook, DOCS / "tutorial.ipynb")


if __name__ == "__main__":
    main()
