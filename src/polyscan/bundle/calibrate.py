"""Calibrate a trained network on studies that it was not trained on, with modalities left out too."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from polyscan.bundle.calibrate_classes import fit_classes
from polyscan.bundle.calibrate_volumes import fit_volumes
from polyscan.bundle.config import bundle_folder, read_config
from polyscan.bundle.weights import weights_of
from polyscan.errors import PolyscanError
from polyscan.files.names import CALIBRATION
from polyscan.inference.calibration import CALIBRATIONS, Method
from polyscan.progress import Progress, silent
from polyscan.study.outputs import check_writable_file


def calibrate(
    bundle: str | Path,
    manifest: str | Path,
    *,
    weights: str | Path | None = None,
    coverage: float = 0.9,
    method: Method | None = None,
    overrides: Mapping[str, Any] | None = None,
    progress: Progress = silent,
) -> Path:
    """Write ``calibration.json`` beside the weights; ``infer`` uses it from then on.

    Each study of the section ``validation`` whose truth is known is answered with all it has and with modalities left
    out: each subset of up to four, else one left out at a time. Of classes half of the subjects fit the probabilities,
    half the sets; of a segmentation all fit intervals of the volumes. What encoders make of each modality is kept as
    means and main axes, so that ``infer`` tells a scan that is unlike them.

    Args:
        bundle: the bundle's folder, or the name of one that comes with polyscan.
        manifest: a prepared manifest; the weights were not trained on its section ``validation``.
        weights: a file of weights; the bundle's own where not given.
        coverage: how often a prediction set is to hold the true class, or an interval the true volume.
        method: of classes: ``temperature``, which is taken where not given, ``vector``, or ``isotonic``, which wants
            the most studies.
        overrides: config entries to change, those that ``infer`` is given.
        progress: told after every study.

    Returns:
        The path of the file.

    Raises:
        PolyscanError: the coverage or the method is none, the bundle tells neither classes nor volumes, the weights
            learnt from a study, the truth of too few is known, or something else has the file's name.
    """
    if not 0 < coverage < 1:
        raise PolyscanError(f"The coverage is {coverage:g}; expected a part of all studies below 1, such as 0.9.")
    if method is not None and method not in CALIBRATIONS:
        raise PolyscanError(f"The method of calibration is {method}; expected one of {', '.join(CALIBRATIONS)}.")
    bundle = bundle_folder(bundle)
    (file,) = weights_of(bundle, weights)
    path = file.with_name(CALIBRATION)
    check_writable_file(path, "calibration")
    content = read_config(bundle, "inference", overrides or {})
    if "calibrated" not in content:
        raise PolyscanError(f"{bundle.name} tells neither classes nor volumes, so that there is nothing to calibrate.")
    if "regions" not in content:
        given = (coverage, method or "temperature", overrides or {}, progress)
        fitted = fit_classes(bundle, file, manifest, *given)
    elif method is not None:
        raise PolyscanError(f"{bundle.name} segments, and --method is of classes; leave it away.")
    else:
        fitted = fit_volumes(bundle, file, manifest, coverage, overrides or {}, progress)
    fitted.save(path)
    return path
