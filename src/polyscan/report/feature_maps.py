"""Features of a cohort in two dimensions, as a table and as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas
from matplotlib.figure import Figure
from numpy.typing import NDArray

from polyscan.study import Study

COLOURED_BY = ("class", "site", "pattern")
_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#555555")
_MOST = 8  # values that are told apart by colour


def traits(study: Study) -> dict[str, str]:
    """What a study is coloured by: its class, the true one where it is known, its site, and which scans it has."""
    said = study.prediction.answers if study.prediction is not None else {}
    tasks = {task: found.predicted_class for task, found in said.items()} | study.label.tasks
    first = next(iter(said or study.label.tasks), None)
    told = tasks.get(first) if first is not None else None
    return {
        "class": "" if told is None else str(told),
        "site": study.centre or "",
        "pattern": " + ".join(study.prediction.present if study.prediction is not None else study.scans),
    }


def write_feature_maps(
    folder: Path, maps: Mapping[str, Mapping[str, tuple[Sequence[Study], NDArray]]]
) -> tuple[Path, list[Path]]:
    """Write ``features.csv`` and a picture of each method, a row for fused features and for each modality.

    Args:
        folder: to write to.
        maps: method, such as ``t-SNE``, to what is mapped, ``fused`` or a modality, to studies and (study, 2).

    Returns:
        The path of the table, and those of the pictures.
    """
    rows: dict[tuple[str, str], dict[str, object]] = {}
    for method, spaces in maps.items():
        for space, (studies, placed) in spaces.items():
            for study, (x, y) in zip(studies, placed, strict=True):
                row = rows.setdefault((space, study.key), {"features": space, "study": study.key, **traits(study)})
                row |= {f"{method} 1": round(float(x), 4), f"{method} 2": round(float(y), 4)}
    table = folder / "features.csv"
    pandas.DataFrame(list(rows.values())).to_csv(table, index=False)
    return table, [_draw(folder / f"features_{method.lower()}.png", method, spaces) for method, spaces in maps.items()]


def _draw(path: Path, method: str, spaces: Mapping[str, tuple[Sequence[Study], NDArray]]) -> Path:
    figure = Figure(figsize=(4 * len(COLOURED_BY), 3.2 * len(spaces)), layout="constrained")
    axes = figure.subplots(len(spaces), len(COLOURED_BY), squeeze=False)
    for row, (space, (studies, placed)) in zip(axes, spaces.items(), strict=True):
        for axis, trait in zip(row, COLOURED_BY, strict=True):
            values = np.array([traits(study)[trait] or "not known" for study in studies])
            names, counts = np.unique(values, return_counts=True)
            often = names[np.argsort(-counts, kind="stable")]
            for name, colour in zip(often, _COLOURS, strict=False):
                axis.scatter(*placed[values == name].T, s=12, color=colour, label=name)
            rest = ~np.isin(values, often[:_MOST])
            if rest.any():
                axis.scatter(*placed[rest].T, s=12, color="#cccccc", label="others")
            axis.set(title=f"{space} by {trait}", xticks=[], yticks=[])
            axis.legend(fontsize="x-small", frameon=False)
    figure.suptitle(f"{method} of features; distances between groups mean nothing")
    figure.savefig(path, dpi=110)
    return path
