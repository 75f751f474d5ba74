"""From a choice to what is trained: a bundle, an encoder, the entries of its configs, and the commands."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import nibabel
import numpy as np

from polyscan.advise.candidates import Place, place_of
from polyscan.advise.describe import Description, table_of
from polyscan.bundle.config import bundle_folder, read_config
from polyscan.bundle.fusion_option import fusion_option
from polyscan.compare.protocol import DISTILLATION, MISSING, Strategy
from polyscan.files.atomic import read_json
from polyscan.files.resources import resource_folder
from polyscan.formats.nifti import read_nifti
from polyscan.modality import find_modality
from polyscan.scan_key import ScanKey
from polyscan.study import Study

DROPOUT = 0.2
"""Of modalities in training, where what is missing is to be learnt and the data themselves say nothing of it."""
MANY_VALUES = 100
SAMPLE = 20
"""Studies whose masks and grids are looked at."""


@dataclass(frozen=True)
class Setting:
    """What a training needs beside the manifest.

    Attributes:
        bundle: its name.
        why_bundle, encoder, why_encoder: with a sentence why.
        fragments: of ``configs/fragments``, to be given before ``config``.
        config: a fragment: what is changed of the bundle's configs.
        missing: an option for ``--missing``; None where the config says it all.
        plan: ``polyscan plan`` comes first, for what depends on memory.
    """

    bundle: str
    why_bundle: str
    encoder: str
    why_encoder: str
    config: dict[str, Any]
    fragments: list[str] = field(default_factory=list)
    missing: str | None = None
    plan: bool = False


def setting_for(cohort: Description, strategy: Strategy, studies: Sequence[Study]) -> Setting | None:
    """The setting of a strategy on a cohort; None where no bundle learns such a thing.

    Args:
        cohort: what it is like.
        strategy: what was chosen.
        studies: of training and validation, with the label.
    """
    if cohort.task == "number" or (cohort.task == "survival" and cohort.images):
        return None
    if not cohort.images:
        return _tables(cohort, strategy, studies)
    return _masks(cohort, strategy, studies) if cohort.task == "segmentation" else _classes(cohort, strategy, studies)


def _tables(cohort: Description, strategy: Strategy, studies: Sequence[Study]) -> Setting:
    width = 16 if cohort.patients < 200 else 32
    tables = {name: _columns([table_of(study, name) for study in studies]) for name in cohort.tables}
    shared = {
        "tables": tables,
        "modalities": list(cohort.tables),
        "widths": [width, width],
        **_fusion(strategy, place_of(strategy), 2),
    }
    size = f"{cohort.patients} patients and tables of {cohort.values or 'few'} values at most"
    why = f"{size}: two layers of {width} channels"
    if cohort.values > MANY_VALUES:
        encoder = "network_def#network#network#encoder" if cohort.task == "survival" else "network_def#encoder"
        shared |= {"dropout": 0.5, f"{encoder}#dropout": 0.5, f"{encoder}#linear": 4}
        why += ", some of them linear, with half of the values dropped"
    bundle, fragments = "glioma_grading_classification", ["tables"]
    reason = "Its loops train any network; the fragment tables puts tables in place of its images."
    if cohort.task == "survival":
        bundle, fragments, reason = "glioma_survival", [], "It reads tables and learns the hazard."
        if place_of(strategy) == "output":
            shared["fusion"] = fusion_option("Sum")  # log risks are no probabilities
    else:
        shared["tasks"] = {cohort.target: list(cohort.classes)}
    return Setting(
        bundle,
        reason,
        "VectorEncoder",
        f"{why}.",
        {"shared": shared, "train": _dropout(cohort, strategy)},
        fragments,
        _option(strategy),
    )


def _masks(cohort: Description, strategy: Strategy, studies: Sequence[Study]) -> Setting:
    bundle = _nearest(cohort, "regions")
    own = read_config(bundle_folder(bundle), "train", {})
    regions = own["regions"]
    values = _mask_values(studies)
    if not set(values) <= {value for region in regions.values() for value in region}:
        regions = {f"label {value}": [value] for value in values}
    place = place_of(strategy)
    shared = {"modalities": cohort.images, "regions": regions, **_fusion(strategy, place, len(own["fuse_at"]))}
    if place in ("hierarchical", "attention"):
        del shared["fuse_at"]  # every level of the encoder, as many as polyscan plan gives it
    if place == "output":
        shared["fusion"] = {**shared["fusion"], "sigmoid": True}  # regions can lie inside each other
    shared["windows"] = {
        name: list(known.window)
        for name in cohort.images
        if (known := find_modality(name)) and known.has_unit and known.window
    }
    return Setting(
        bundle,
        f"It learns masks and its modalities ({', '.join(own['modalities'])}) are nearest to these.",
        "SegResEncoder",
        "polyscan plan makes it as wide and deep as the memory and the size of the scans allow.",
        {"shared": shared, "train": _dropout(cohort, strategy)},
        [],
        _option(strategy),
        plan=True,
    )


def _classes(cohort: Description, strategy: Strategy, studies: Sequence[Study]) -> Setting:
    tasks = {cohort.target: list(cohort.classes)}
    if cohort.flat:
        return Setting(
            "drifa_multitask_classification",
            "It reads 2D pictures; where its branches attend to each other is its own.",
            "DRIFANet",
            "A residual branch for each type of picture.",
            {"shared": {"modalities": cohort.images, "tasks": tasks}, "train": _dropout(cohort, strategy)},
        )
    contrasts = list(dict.fromkeys(replace(ScanKey.parse(name), time=None) for name in cohort.images))
    visits = cohort.times > 1 and len(contrasts) * cohort.times == len(cohort.images)
    bundle = "treatment_response_classification" if visits else "glioma_grading_classification"
    own = read_config(bundle_folder(bundle), "train", {})
    network = own["network_def"]["network"]
    levels = len(network["encoder"]["channels"])
    shared: dict[str, Any] = {
        "modalities": [str(replace(key, time=t + 1)) for t in range(cohort.times) for key in contrasts]
        if visits
        else cohort.images,
        "tasks": tasks,
        **_grid(studies),
        **_fusion(strategy, place_of(strategy), levels),
    }
    if visits:
        shared |= {"contrasts": [str(key) for key in contrasts], "times": cohort.times}
    elif cohort.clinical:
        columns = _columns([{k: v for k, v in study.clinical.items() if k in cohort.clinical} for study in studies])
        shared["numeric"] = {k: v for k, v in columns.items() if not isinstance(v[0], str)}
        shared["categories"] = {k: v for k, v in columns.items() if isinstance(v[0], str)}
    else:
        shared |= {"inputs": [], "extra_keys": [], "network_def": network}
    return Setting(
        bundle,
        "It reads visits of one patient together."
        if visits
        else "It reads any 3D scans, with clinical variables beside.",
        "UNetEncoder",
        f"{cohort.patients} patients: {levels} levels of few channels, on a coarse grid that holds the whole scan.",
        {"shared": shared, "train": _dropout(cohort, strategy)},
        [],
        _option(strategy),
    )


def _fusion(strategy: Strategy, place: Place, levels: int) -> dict[str, Any]:
    """Where and how, for an encoder of so many levels."""
    where: Any = {"input": "input", "output": "output", "hierarchical": list(range(levels))}.get(place, [levels - 1])
    return {"fuse_at": where, "fusion": fusion_option(strategy.fusion)}


def _dropout(cohort: Description, strategy: Strategy) -> dict[str, Any]:
    """As often as the data lack a modality, and no less than where nothing is known."""
    return {"modality_dropout": 0.0 if strategy.missing == "available" else max(DROPOUT, round(cohort.mean_missing, 2))}


def _option(strategy: Strategy) -> str | None:
    return strategy.missing if strategy.missing == DISTILLATION or strategy.missing not in MISSING else None


def _columns(rows: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    """Column to the words that it may hold, or to the mean and standard deviation of its numbers."""
    found: dict[str, list[Any]] = {}
    for name in dict.fromkeys(key for row in rows for key in row):
        values = [row[name] for row in rows if row.get(name) is not None]
        if any(isinstance(value, str) for value in values):
            found[name] = sorted({str(value) for value in values})
        elif values:
            numbers = np.array(values, dtype=float)
            found[name] = [float(f"{numbers.mean():.5g}"), float(f"{numbers.std() or 1.0:.5g}")]
    return found


def _nearest(cohort: Description, kind: str) -> str:
    """The bundle with configs of a kind whose modalities are most like a cohort's; among equals the one of fewest."""
    found = []
    for folder in sorted(resource_folder("bundles").glob("*/configs")):
        config = read_json(folder / "train.json")
        if kind in config:
            own, here = set(config["modalities"]), {ScanKey.parse(name).modality for name in cohort.images}
            found.append((-len(own & here) / len(own | here), len(own), folder.parent.name))
    return min(found)[2]


def _mask_values(studies: Sequence[Study]) -> list[int]:
    """The numbers above zero in masks of some studies."""
    masks = [study.label.mask for study in studies if study.label.mask is not None][:SAMPLE]
    return sorted({int(value) for mask in masks for value in read_nifti(mask).unique() if value > 0})


def _grid(studies: Sequence[Study]) -> dict[str, Any]:
    """About 32 voxels an axis, that hold the scans of nine in ten studies."""
    extents = []
    for study in studies[:SAMPLE]:
        image: Any = nibabel.load(next(iter(study.scans.values())).path)
        turned = nibabel.as_closest_canonical(image)
        extents.append(np.array(turned.shape[:3]) * turned.header.get_zooms()[:3])
    extent = np.quantile(np.array(extents), 0.9, axis=0)
    spacing = [math.ceil(max(extent) / 32)] * 3
    return {"spacing": spacing, "roi_size": [max(8, math.ceil(n / spacing[0] / 8) * 8) for n in extent]}
