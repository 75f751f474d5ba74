"""Prepared cohorts small enough to run every config of a bundle on."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from monai.data import MetaTensor
from PIL import Image

from polyscan.bundle.config import open_config
from polyscan.formats.nifti import write_nifti
from polyscan.networks import FusionModel
from polyscan.study import Label, Preparation, Scan, Study
from polyscan.study.manifest import Manifest, write_manifest
from polyscan.study.record import CLINICAL

BUNDLES = Path(__file__).resolve().parents[2] / "bundles"
make = SimpleNamespace(**runpy.run_path(str(BUNDLES / "make.py")))
NAMES = make.names()
BRAIN = BUNDLES / "brain_mri_tumour_segmentation"
SMALL_BRAIN = {
    "roi_size": [24, 24, 24],
    "fuse_at": [0, 1],
    "network_def#encoder#channels": [4, 8],
    "network_def#head#width": [4],
}
"""What makes the network of that bundle small."""


def small_brain_network() -> FusionModel:
    """The network of that bundle, small, as a training begins with it."""
    torch.manual_seed(0)
    network: FusionModel = open_config(BRAIN, "inference", SMALL_BRAIN).parser.get_parsed_content("network_def")
    return network


def make_manifest(bundle: Path, folder: Path) -> Path:
    """Seven studies of noise with a bright block; one lacks a modality, one has no label."""
    folder.mkdir()
    config = read_config(bundle, "inference")
    generator = torch.Generator().manual_seed(0)
    studies = []
    for number in range(7):
        study = Study(f"{number}", clinical={"age": 40 + number}, days=[0, 70 + number])
        study.label.tasks = known_tasks(config, number)
        study.preparation = Preparation("none", config["modalities"][0])
        for modality in config["modalities"]:
            study.scans[modality] = Scan(saver(config)(folder, config, study, modality, generator))
        if "regions" in config:
            study.label.mask = save_mask(folder, config, study)
        studies.append(study)
    del studies[6].scans[config["modalities"][0]]
    if "tables" in config:
        for study in studies:
            study.scans.pop(CLINICAL, None)  # it stands in the manifest
        studies[6].clinical = {}
    if "enters" in config:  # what is left gives the grid
        left = min(config["enters"][modality] for modality in studies[6].scans if modality in config["enters"])
        studies[6].label.mask = save_mask(folder, config, studies[6], factor=2**left)
    studies[5].label = Label()
    path = folder / "manifest.json"
    write_manifest(path, Manifest(training=studies[:3], validation=studies[3:5], testing=studies[5:]))
    return path


def known_tasks(config: dict, number: int) -> dict:
    """A label of each task of a bundle: the class, or time and event."""
    if "horizons" in config:
        return {"survival": {"time": 10.0 + 7 * number, "event": number % 2}}
    return {task: classes[number % len(classes)] for task, classes in config.get("tasks", {}).items()}


def saver(config: dict):
    """What writes a modality of a study for a bundle."""
    if "tables" in config:
        return save_table
    return save_scan if config["spacing"] else save_picture


def read_config(bundle: Path, name: str) -> dict:
    return json.loads((bundle / "configs" / f"{name}.json").read_text())


def reads(bundle: Path) -> list[str]:
    """What a bundle reads: its modalities, and clinical variables where it is given them."""
    config = read_config(bundle, "train")
    return list(dict.fromkeys([*config["modalities"], *(name for name in config["inputs"] if name == CLINICAL)]))


def few_samples(bundle: Path) -> dict[str, int]:
    """Changes to a bundle that draws dropout samples: two, where how many there are is not what is tried."""
    return {"monte_carlo_samples": 2} if "monte_carlo_samples" in read_config(bundle, "inference") else {}


def apart(bundle: Path) -> dict[str, float]:
    """Changes to a bundle whose windows overlap: they do not, where the answer at their edges is not tried."""
    return {"overlap": 0.0} if "overlap" in read_config(bundle, "inference") else {}


def small_window(bundle: Path, side: int = 24) -> dict[str, list[int]]:
    """Changes to a bundle of volumes: a window that holds a study of :func:`make_manifest` and little around it."""
    return {"roi_size": [side] * 3} if len(read_config(bundle, "inference").get("roi_size", [])) == 3 else {}


def save_scan(folder, config, study, modality, generator) -> str:
    """Noise about a block, on the bundle's spacing; a modality that enters lower has voxels as much larger."""
    factor = 2 ** config.get("enters", {}).get(modality, 0)
    image = torch.randn(1, 20 // factor, 24 // factor, 20 // factor, generator=generator)
    image += 2 * (mask_of(config) > 0)[:, ::factor, ::factor, ::factor]
    image[:, : 2 // factor] = float("nan")
    return write(folder / f"{study.subject}_{modality}.nii.gz", config, image, factor)


def save_mask(folder, config, study, factor=1) -> str:
    mask = mask_of(config)[:, ::factor, ::factor, ::factor]
    return write(folder / f"{study.subject}_label.nii.gz", config, mask, factor)


def save_picture(folder, config, study, modality, generator) -> str:
    path = folder / f"{study.subject}_{modality}.png"
    values = torch.randint(0, 255, (30, 24, 3), generator=generator, dtype=torch.uint8)
    Image.fromarray(np.asarray(values)).save(path)
    return str(path)


def save_table(folder, config, study, modality, generator) -> str:
    path = folder / f"{study.subject}_{modality}.json"
    columns = config["tables"][modality]
    path.write_text(
        json.dumps(dict(zip(columns, torch.randn(len(columns), generator=generator).tolist(), strict=True)))
    )
    return str(path)


def mask_of(config) -> torch.Tensor:
    """Blocks within blocks, one a value of the regions."""
    values = sorted({v for region in config.get("regions", {"": [1]}).values() for v in region})
    mask = torch.zeros(1, 20, 24, 20, dtype=torch.uint8)
    for depth, value in enumerate(reversed(values)):
        mask[0, 4 + depth : 16 - depth, 6 + depth : 16 - depth, 5 + depth : 15 - depth] = value
    return mask


def write(path, config, image, factor) -> str:
    x, y, z = (float(s) * factor for s in config["spacing"])
    write_nifti(path, MetaTensor(image, affine=torch.diag(torch.tensor([-x, -y, z, 1.0], dtype=torch.float64))))
    return str(path)


def kind_of(bundle: Path) -> str:
    return make.read(bundle.name)["kind"]
