"""Lower the threshold of a trained segmentation until it misses no more than was promised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from polyscan.bundle.config import bundle_folder, quiet, read_config
from polyscan.bundle.inference_options import InferenceOptions
from polyscan.bundle.tried import TriedSegmentation
from polyscan.bundle.weights import weights_fingerprint, weights_of
from polyscan.errors import PolyscanError
from polyscan.files.atomic import write_json
from polyscan.files.names import THRESHOLD
from polyscan.formats.nifti import read_nifti
from polyscan.geometry import voxel_ml
from polyscan.inference.risk_control import controlled_column
from polyscan.progress import Progress, each_told, silent
from polyscan.study import PredictionRecord
from polyscan.study.outputs import check_writable_file
from polyscan.transforms.save import STEPS

THRESHOLDS = (np.arange(1, STEPS + 1) - 0.5) / STEPS
"""Between the steps that kept probabilities are rounded to, so that rounding takes none across."""


def control_risk(
    bundle: str | Path,
    manifest: str | Path,
    *,
    weights: str | Path | None = None,
    risk: float = 0.1,
    overrides: Mapping[str, Any] | None = None,
    progress: Progress = silent,
) -> Path:
    """Write ``threshold.json`` beside the weights, a fragment whose threshold misses little of each region.

    Each study with a mask of the section ``validation`` is segmented. A subject counts once, with the mean of its
    studies. Of each region the subjects that have it tell how much of it is missed at each threshold; see
    :func:`polyscan.inference.risk_control.controlled_column`. The lowest of the regions' thresholds holds for all,
    and the bundle's own where that is lower still.

    Args:
        bundle: the bundle's folder, or the name of one that comes with polyscan.
        manifest: a prepared manifest; the weights were not trained on its section ``validation``.
        weights: a file of weights; the bundle's own where not given.
        risk: which part of a region's voxels may be missed, on average over the subjects that have it.
        overrides: config entries to change, those that ``infer`` is given.
        progress: told after every study.

    Returns:
        The path of the file. For people it tells the threshold of each region by itself, and with the one kept and with
        the bundle's own (``_before``) which part is ``missed``, over the ``subjects`` that have it, and the mean volume
        that is marked, over all subjects, beside the true one.

    Raises:
        PolyscanError: the risk is none, the bundle is no segmentation, the weights learnt from a study, a study cannot
            be segmented, too few subjects have a region, too much of one is never found, or something else is
            named so.
    """
    if not 0 < risk < 1:
        raise PolyscanError(f"The risk is {risk:g}; expected a part of a region below 1, such as 0.1.")
    bundle = bundle_folder(bundle)
    (file,) = weights_of(bundle, weights)
    path = file.with_name(THRESHOLD)
    check_writable_file(path, "threshold")
    if "regions" not in read_config(bundle, "inference", overrides or {}):
        raise PolyscanError(f"{bundle} segments no regions, so that there is no threshold; leave --risk away.")
    changes = {**(overrides or {}), **InferenceOptions(probabilities=True).overrides}
    with quiet(), TemporaryDirectory() as folder:
        tried = TriedSegmentation(bundle, file, manifest, changes, folder)
        before = tried.parser.get_parsed_content("threshold")
        each_study = [
            volumes_at_thresholds(tried.ask(study), str(study.label.mask))
            for study in each_told(tried.studies, progress)
        ]
    counts = {name: np.stack([each[name] for each in each_study]) for name in each_study[0]}
    subjects = [study.subject for study in tried.studies]
    missed = {name: missed_part(each, subjects) for name, each in counts.items()}
    columns = {name: _column(name, each, risk) for name, each in missed.items()}
    old = int(np.abs(THRESHOLDS - before).argmin())
    column = min(old, *columns.values())
    told = {}
    for name, each in counts.items():
        rows = {"missed": missed[name], "volume_ml": _by_subject(each[:, 1, 1:], subjects)}
        told[name] = {
            "threshold": THRESHOLDS[columns[name]],
            "subjects": len(missed[name]),
            **{what: round(float(row[:, column].mean()), 4) for what, row in rows.items()},
            **{f"{what}_before": round(float(row[:, old].mean()), 4) for what, row in rows.items()},
            "true_ml": round(float(_by_subject(each[:, 0], subjects)[:, 0].mean()), 4),
        }
    content = {
        "risk": risk,
        "weights": weights_fingerprint(file),
        "inference": {"threshold": before if column == old else THRESHOLDS[column]},
    }
    write_json(path, {**content, "regions": told})
    return path


def _column(name: str, missed: np.ndarray, risk: float) -> int:
    """Of which threshold a region is missed so little, naming the region where there is none."""
    try:
        return controlled_column(missed, risk)
    except PolyscanError as error:
        raise PolyscanError(f"{name}: {error}") from error


def volumes_at_thresholds(prediction: PredictionRecord, mask: str) -> dict[str, np.ndarray]:
    """Of each region the volumes that are marked of it and of all, at no threshold and at each, in millilitres.

    (2, 1 + threshold): at none they are those of the true region and of the image.
    """
    truth = read_nifti(mask).round().numpy()
    counts = {}
    for channel, (name, labels) in enumerate(prediction.regions.items(), start=1):
        image = read_nifti(f"{prediction.probabilities}#{channel}")
        steps = np.rint(image.numpy() * STEPS).astype(np.intp)
        each = [np.bincount(part, minlength=STEPS + 1) for part in (steps[np.isin(truth, labels)], steps.ravel())]
        counts[name] = np.stack(each)[:, ::-1].cumsum(1)[:, ::-1] * voxel_ml(image.affine)
    return counts


def missed_part(counts: np.ndarray, subjects: Sequence[str]) -> np.ndarray:
    """(subject, threshold) part of a region that is missed, of those subjects who have it."""
    true = counts[:, 0]
    has = true[:, 0] > 0
    return _by_subject(
        1 - true[has, 1:] / true[has, :1], [name for name, use in zip(subjects, has, strict=True) if use]
    )


def _by_subject(rows: np.ndarray, subjects: Sequence[str]) -> np.ndarray:
    """(subject, threshold) means of the rows (study, threshold) of each subject."""
    names = np.asarray(subjects)
    return np.array([rows[names == name].mean(0) for name in dict.fromkeys(subjects)]).reshape(-1, rows.shape[1])
