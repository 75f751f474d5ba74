"""What lesions of ``lgg_mri`` look like, as tables beside age and sex: are images worth more than these?

    python benchmarks/cohorts.py lgg_mri partA.npz clinical_A.csv genes_A.csv lgg/
    python benchmarks/lesion.py lgg/manifest.json measured/
    polyscan evaluate measured/manifest.json --task IDH 1p19q grade --reference clinical \
        --inputs clinical form look "clinical + form" "clinical + look" "clinical + form + look"

``form`` tells how large a lesion is to the head, where it lies in it and how even its outline is; ``look`` how bright
and how even it is in each contrast, how sharp its edge, and how much it enhances. Spacing is not known, so that all is
in parts of the head. The masks that people drew are measured, or with ``--answers`` those of networks that have not
seen the patient (``benchmarks/cross_validate.py``).
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from command import run
from parts.part import write_table
from scipy.ndimage import binary_dilation, binary_erosion, gaussian_gradient_magnitude, label

from polyscan.errors import PolyscanError
from polyscan.formats.nifti import read_nifti
from polyscan.study import Study, scans_of
from polyscan.study.manifest import Manifest, read_manifest, write_manifest

CONTRASTS = ("T1", "FLAIR", "T1c")
IN_SLICE = np.ones((3, 3, 1), dtype=bool)
"""Slices lie far apart: outlines are those within each."""


def of_form(mask: np.ndarray, head: np.ndarray) -> dict[str, float]:
    """Size, place and outline of a lesion (x, y, z) in RAS+: x to the right, y to the front, z upwards."""
    told = {"log_size": float(np.log(max(mask.sum(), 0.5) / head.sum()))}
    if not mask.any():
        return told
    low, high = np.argwhere(head).min(0), np.argwhere(head).max(0)
    side, front, top = (np.argwhere(mask).mean(0) - low) / np.maximum(high - low, 1)
    outline = mask & ~binary_erosion(mask, IN_SLICE)
    parts, _ = label(mask)
    return told | {
        "off_middle": float(abs(side - 0.5)),
        "front": float(front),
        "top": float(top),
        "slices": float(mask.any((0, 1)).mean()),
        "log_outline": float(np.log(outline.sum() / np.sqrt(mask.sum()))),
        "largest_part": float(np.bincount(parts[mask]).max() / mask.sum()),
    }


def of_look(mask: np.ndarray, images: Mapping[str, np.ndarray]) -> dict[str, float]:
    """How each contrast that is there looks within a lesion; images (x, y, z) are z-scores within the head."""
    told: dict[str, float] = {}
    outline = binary_dilation(mask, IN_SLICE) & ~binary_erosion(mask, IN_SLICE)
    for name, image in images.items():
        values = image[mask & np.isfinite(image)]
        if len(values) > 1:
            edges = gaussian_gradient_magnitude(np.nan_to_num(image), (1, 1, 0))
            told |= {
                f"{name}_mean": float(values.mean()),
                f"{name}_uneven": float(values.std()),
                f"{name}_high": float(np.quantile(values, 0.95)),
                f"{name}_low": float(np.quantile(values, 0.05)),
                f"{name}_edge": float(edges[outline].mean()),
            }
    if {"T1", "T1c"} <= images.keys():
        gain = (images["T1c"] - images["T1"])[mask]
        gain = gain[np.isfinite(gain)]
        if len(gain) > 1:
            told |= {"enhancing_mean": float(gain.mean()), "enhancing_high": float(np.quantile(gain, 0.95))}
    return told


def oriented(path: str) -> np.ndarray:
    """An image (x, y, z) whose axes go to the right, to the front and upwards."""
    image = read_nifti(path)
    backwards = [axis for axis in range(3) if image.affine[axis, axis] < 0]
    return np.flip(image[0].numpy(), backwards)


def measure(study: Study, path: str | None, out: Path) -> Study:
    """The study with its tables ``form`` and ``look``, and without its mask.

    Raises:
        PolyscanError: no mask of it is known.
    """
    if path is None or study.preparation is None or study.preparation.foreground is None:
        raise PolyscanError(f"{study.key} has no mask, or was not prepared; give a manifest that answers for it.")
    mask, head = (oriented(file) > 0.5 for file in (path, study.preparation.foreground))
    images = {name: oriented(study.scans[name].path) for name in CONTRASTS if name in study.scans}
    tables = {"form": of_form(mask, head), "look": of_look(mask, images)}
    paths = {name: str(out / f"{study.subject}_{name}.json") for name in tables}
    written = scans_of({name: write_table(paths[name], values) for name, values in tables.items() if values})
    return replace(study, scans={**study.scans, **written}, label=replace(study.label, mask=None))


def measures(studies: Sequence[Study], answers: Mapping[str, str], out: Path) -> list[Study]:
    """All studies, by the masks that answer for them where some are given, else by those that people drew."""
    return [measure(study, answers.get(study.key) if answers else study.label.mask, out) for study in studies]


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path, help="of benchmarks/cohorts.py lgg_mri")
    parser.add_argument("out", type=Path)
    parser.add_argument(
        "--answers", type=Path, nargs="+", default=[], help="manifests of masks; drawn ones if not given"
    )
    options = parser.parse_args()
    answered = [study for path in options.answers for study in read_manifest(path).studies]
    answers = {study.key: study.prediction.path for study in answered if study.prediction is not None}
    options.out.mkdir(parents=True, exist_ok=True)
    found = measures(read_manifest(options.manifest).studies, answers, options.out)
    write_manifest(options.out / "manifest.json", Manifest(found))
    print(f"{len(found)} studies in {options.out / 'manifest.json'}")


if __name__ == "__main__":
    run(main)
