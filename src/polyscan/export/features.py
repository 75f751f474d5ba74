"""What a network makes of a cohort, as a table and pictures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyscan.attribution.by_cohort import AT_LEAST, check_studies, tsne_map, umap_map, utilisation
from polyscan.bundle.features import cohort_features
from polyscan.files.atomic import write_json
from polyscan.files.owned import replace_owned
from polyscan.progress import Progress, silent
from polyscan.report.feature_maps import write_feature_maps
from polyscan.study import Study
from polyscan.study.manifest import Manifest
from polyscan.study.outputs import OutputFolder, sources_of

_METHODS = {"t-SNE": tsne_map, "UMAP": umap_map}
_UTILISATION = "utilisation.json"


@dataclass
class Features:
    """What was written.

    Attributes:
        files: the table, and a picture of each method.
        used: modality to how much the answers use it; empty where they do not tell.
    """

    files: list[Path]
    used: dict[str, float]


def write_features(
    bundle: str | Path,
    manifest: Manifest,
    out: str | Path,
    *,
    weights: str | Path | None = None,
    umap: bool = False,
    overrides: Mapping[str, Any] | None = None,
    progress: Progress = silent,
) -> Features:
    """Map what a trained network makes of each study to two dimensions, and write a table, pictures and utilisation.

    Args:
        bundle: the bundle's folder, or the name of one that comes with polyscan.
        manifest: what ``infer`` wrote, or prepared studies.
        out: folder that is new, empty, or was made so.
        weights: a file of weights; the bundle's own where not given.
        umap: UMAP beside t-SNE.
        overrides: config entries to change, those that ``infer`` is given.
        progress: told (done, total, study) after each.

    Raises:
        PolyscanError: there are too few studies, or the bundle, its weights or ``out`` cannot be used.
    """
    studies = manifest.tested
    check_studies(len(studies))
    owned = OutputFolder.claim(out, "features", sources_of(studies))
    spaces: defaultdict[str, list[tuple[Study, NDArray]]] = defaultdict(list)
    read = cohort_features(bundle, manifest, weights=weights, overrides=overrides)
    for done, (study, vectors) in enumerate(read, start=1):
        for space, vector in vectors.items():
            spaces[space].append((study, vector))
        progress(done, len(studies), study.key)
    enough = {space: each for space, each in spaces.items() if len(each) >= AT_LEAST}
    maps = {
        method: {space: ([s for s, _ in each], place(np.stack([v for _, v in each]))) for space, each in enough.items()}
        for method, place in _METHODS.items()
        if umap or method != "UMAP"
    }
    said = [study.prediction for study in studies if study.prediction is not None]
    of_tasks = (task.contributions for each in said for task in each.answers.values())
    used = utilisation([*of_tasks, *(drove for each in said for drove in each.contributions.values())])
    with owned.alone(), replace_owned(owned.path, group="features") as folder:
        table, pictures = write_feature_maps(folder, maps)
        if used:
            write_json(folder / _UTILISATION, used)
        owned.will_hold(path.name for path in folder.iterdir())
    return Features([owned.path / path.name for path in (table, *pictures)], used)
