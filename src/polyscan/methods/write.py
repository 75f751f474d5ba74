"""The methods section of a paper, as Markdown: every sentence follows from a record of what was run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from polyscan.errors import PolyscanError
from polyscan.files.atomic import atomic_write, read_json
from polyscan.files.owned import MARKER
from polyscan.methods.comparison import tell_comparison
from polyscan.methods.network import tell_predictions
from polyscan.methods.preparation import tell_preparation
from polyscan.methods.text import Text, enumerated
from polyscan.methods.training import tell_training
from polyscan.study.manifest import MANIFEST, read_manifest
from polyscan.study.outputs import check_writable_file, replace_file

_STUDIES, _RUN, _FOLDS, _COMPARISON = ("prepare", "infer", "batch"), "train", "train --folds", "compare"


def write_methods(folders: Sequence[str | Path], output: str | Path) -> Path:
    """Write what :func:`methods_text` says, whole or not at all.

    Raises:
        PolyscanError: see :func:`methods_text`, or the file is something else's.
    """
    output = Path(output)
    check_writable_file(output, "methods")
    written = methods_text(folders)
    with replace_file(output, "methods"), atomic_write(output) as part:
        part.write_text(written, encoding="utf-8")
    return output


def methods_text(folders: Sequence[str | Path]) -> str:
    """Markdown of what was run, with versions, hashes, numbered references and their BibTeX.

    Args:
        folders: that polyscan wrote: of ``prepare``, ``infer`` or ``batch`` (one), ``train`` and ``compare``.

    Raises:
        PolyscanError: a folder is none of those, there are two of one kind, or a run did not train the weights that
            answered.
    """
    by = _by_command([Path(folder) for folder in folders])
    text, versions, answered_by = Text(), dict[str, str](), set[str]()
    for folder in by.get("studies", []):
        manifest = read_manifest(folder / MANIFEST)
        versions |= tell_preparation(text, manifest.studies)
        versions |= tell_predictions(text, manifest)
        answered_by = {digest for study in manifest.studies if study.model for digest in study.model.weights}
    for folder in by.get(_RUN, []):
        folds = sorted(path for path in folder.glob("fold*") if path.is_dir())
        versions |= tell_training(text, folds or [folder], answered_by)
    for folder in by.get(_COMPARISON, []):
        tell_comparison(text, folder)
    told = [f"{name} {version}{text.cite(name)}" for name, version in versions.items()]
    if told:
        text.say("Software", f"Versions: {enumerated(told)}.")
    return (
        f"# Methods\n\n<!-- Written by polyscan methods; every sentence follows from a record. -->\n\n{text.markdown()}"
    )


def _by_command(folders: Sequence[Path]) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for folder in folders:
        content: Any = read_json(folder / MARKER) if (folder / MARKER).is_file() else {}
        command = content.get("command", "")
        kind = "studies" if command in _STUDIES else _RUN if command in (_RUN, _FOLDS) else command
        if kind not in ("studies", _RUN, _COMPARISON):
            raise PolyscanError(
                f"{folder} is no folder that polyscan {', '.join(_STUDIES)}, {_RUN} or {_COMPARISON} wrote"
                f"{f' (polyscan {command} did)' if command else ''}; name one."
            )
        if found.setdefault(kind, []):
            raise PolyscanError(f"{found[kind][0]} and {folder} tell of the same; name one of them.")
        found[kind].append(folder)
    return found
