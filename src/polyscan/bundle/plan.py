"""A plan from the data's fingerprint: what a bundle is to be trained with, in a file that a person reads and edits."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import torch

from polyscan import __version__
from polyscan.bundle.config import bundle_folder, labels_of, read_config
from polyscan.bundle.items import labelled_studies
from polyscan.bundle.run_folder import fingerprint_of
from polyscan.errors import PolyscanError
from polyscan.files.atomic import read_json
from polyscan.learning.memory import bytes_to_train
from polyscan.study import Study

ABOUT = "about"
MAX_FILTERS = 320
"""Channels that no level of 3D nnU-Net exceeds (Isensee et al., Nature Methods 18, 2021); here those of all encoders
together: n encoders have 320 / sqrt(n) each, so that they have about the weights of one."""

STEPS = 25_000
"""Steps of the optimizer that a training is planned to make: a tenth of nnU-Net's, with a rate that falls to zero."""

LADDER = [
    {"filters": filters, "edge": edge, "batch": batch}
    for filters, edge, batch in (
        *((32, 128, 2), (32, 128, 1), (32, 96, 2), (32, 96, 1), (16, 96, 2), (16, 96, 1)),
        *((16, 64, 2), (16, 64, 1), (8, 64, 2), (8, 64, 1), (8, 32, 2), (8, 32, 1)),
    )
]
"""Settings from what a researcher expects down to what fits anywhere: channels of the first level, edge of a window in
voxels, windows a batch. Where a batch is one window, gradients of two are added up."""


def make_plan(bundle: str | Path, manifest: str | Path, *, memory: float | None = None) -> dict[str, Any]:
    """Plan the training of a bundle on prepared studies.

    Segmentation: the spacing is the median of the scans' (Isensee et al., Nature Methods 18, 2021); the network has
    residual encoders of 32 channels, as many levels as halve a window to no less than 4 voxels (five at most), and
    deep supervision; window, batch and, last, channels become smaller until one step of training fits the memory,
    which is measured on the bundle's own network (:func:`polyscan.learning.memory.bytes_to_train`). Windows of HU and
    SUV are the 0.5th and 99.5th percentile of what is labelled. Classification: a class weighs n / (k n_class).

    Args:
        bundle: the bundle's folder, or the name of one that comes with polyscan.
        manifest: the prepared manifest.
        memory: of the device, in GB; what this machine has where not given.

    Returns:
        A fragment for ``polyscan train --config``: entries to change under
        ``shared`` and ``train``, and under ``about`` the bundle and what was found in the data.

    Raises:
        PolyscanError: the bundle cannot be planned for, fewer than two subjects have a label, or nothing fits.
    """
    folder = bundle_folder(bundle)
    config = read_config(folder, "train", {})
    studies = labelled_studies(manifest, labels_of(config))
    found: dict[str, Any] = {
        "studies": len(studies),
        "subjects": len({study.subject for study in studies}),
        "measured": {name: sum(name in study.scans for study in studies) for name in config["modalities"]},
        "fingerprint": fingerprint_of(manifest),
    }
    memory = memory_at_hand() if memory is None else memory
    if "regions" in config:
        settings = _segmentation(folder, config, studies, found, memory)
    else:
        settings = _classification(config, studies, found)
    both = read_json(folder / "configs" / "inference.json")
    shared = {name: value for name, value in settings.items() if name.partition("#")[0] in both}
    return {
        ABOUT: {"polyscan": __version__, "bundle": folder.resolve().name, "memory_gb": round(memory, 1), "data": found},
        "shared": shared,
        "train": {name: value for name, value in settings.items() if name not in shared},
    }


def memory_at_hand() -> float:
    """The memory of the GPU, or half of the machine's, in GB."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_properties(0).total_memory / 1e9
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2e9


def _segmentation(
    folder: Path, config: Mapping[str, Any], studies: Sequence[Study], found: dict[str, Any], memory: float
) -> dict[str, Any]:
    shapes, spacings, inside = _measure(config, studies, found)
    spacing = np.median(spacings, axis=0).round(3)
    shape = np.median(shapes * spacings / spacing, axis=0)
    found |= {"spacing": spacing.tolist(), "shape": [round(float(n)) for n in shape]}
    for rung in LADDER:
        settings = _network(config, rung, shape)
        settings["spacing"] = spacing.tolist()
        needed = bytes_to_train(read_config(folder, "train", settings), settings["batch_size"]) / 1e9
        if needed <= 0.9 * memory:
            found["step_gb"] = round(needed, 2)
            break
    else:
        raise PolyscanError(f"The smallest network needs {needed:.1f} GB for a step; {memory:.1f} GB are at hand.")
    if inside:
        low_high = {name: np.percentile(values, [0.5, 99.5]).round(1).tolist() for name, values in inside.items()}
        settings["windows"] = {name: low_high.get(name, value) for name, value in config["windows"].items()}
    return {**settings, **_epochs(len(studies) * config["num_samples"], settings["batch_size"]), "ema_decay": 0.999}


def _measure(
    config: Mapping[str, Any], studies: Sequence[Study], found: dict[str, Any]
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Shapes and spacings of the labels' grids, and what calibrated scans hold inside labels; regions' shares."""
    shapes, spacings, share = [], [], []
    inside: dict[str, list[np.ndarray]] = {name: [] for name in config["windows"]}
    for study in studies:
        label: Any = nibabel.load(str(study.label.mask))
        mask = np.asanyarray(label.dataobj).round()
        shapes.append(label.shape[:3])
        spacings.append(label.header.get_zooms()[:3])
        share.append([np.isin(mask, values).mean() for values in config["regions"].values()])
        for name in inside.keys() & study.scans.keys():
            scan: Any = nibabel.load(study.scans[name].path)
            if scan.shape == mask.shape:
                values = np.asanyarray(scan.dataobj)[mask > 0]
                inside[name].append(values[np.isfinite(values)])
    mean = np.mean(share, axis=0)
    found["regions"] = {
        name: {"part_of_voxels": float(f"{part:.3g}"), "studies": int(sum(row[k] > 0 for row in share))}
        for k, (name, part) in enumerate(zip(config["regions"], mean, strict=True))
    }
    concatenated = {name: np.concatenate(values) for name, values in inside.items() if sum(map(len, values))}
    return np.array(shapes, dtype=float), np.array(spacings, dtype=float), concatenated


def _network(config: Mapping[str, Any], rung: Mapping[str, int], shape: np.ndarray) -> dict[str, Any]:
    """Window, batch and network of a rung of the ladder."""
    edges = [min(rung["edge"], max(float(n), 16)) for n in shape]
    levels = min(5, max(3, int(math.log2(min(edges) / 4)) + 1))
    block = 2 ** (levels - 1)
    most = max(rung["filters"], round(MAX_FILTERS / math.sqrt(len(config["modalities"])) / 8) * 8)
    filters = [min(rung["filters"] * 2**k, most) for k in range(levels)]
    part = "network_def#network" if "network" in config["network_def"] else "network_def"
    encoder = {
        "_target_": "polyscan.networks.SegResEncoder",
        "_mode_": "callable",
        "init_filters": rung["filters"],
        "blocks_down": [1, 2, 2, 4, 4][:levels],
        "max_filters": most,
    }
    changes: dict[str, Any] = {
        "roi_size": [int(math.ceil(edge / block) * block) for edge in edges],
        "overlap": 0.5,
        "batch_size": rung["batch"],
        "accumulation_steps": 2 // rung["batch"],
        f"{part}#encoder": encoder,
        f"{part}#head#width": filters[:-1],
        "deep_supervision": levels - 2,
        "learning_rate": 0.001,
    }
    if "fuse_at" in config:
        changes["fuse_at"] = list(range(levels))
    return changes


def _classification(config: Mapping[str, Any], studies: Sequence[Study], found: dict[str, Any]) -> dict[str, Any]:
    weights = {}
    found["classes"] = {}
    for task, classes in config["tasks"].items():
        truth = [str(study.label.tasks[task]) for study in studies if study.label.tasks.get(task) is not None]
        counts = found["classes"][task] = {str(c): truth.count(str(c)) for c in classes}
        if min(counts.values()) > 0:
            weights[task] = [round(len(truth) / (len(counts) * n), 3) for n in counts.values()]
    return {"class_weights": weights, **_epochs(len(studies), config["batch_size"])}


def _epochs(windows: int, batch: int) -> dict[str, int]:
    epochs = int(min(max(STEPS / math.ceil(windows / batch), 50), 1000))
    return {"max_epochs": epochs, "val_interval": max(epochs // 50, 1)}
