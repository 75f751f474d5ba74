"""What lesions of ``lgg_mri`` look like, as tables beside age and sex: are images worth more than these?

    python benchmarks/cohorts.py lgg_mri partA.npz clinical_A.csv genes_A.csv lgg/
    python benchmarks/lesion.py lgg/manifest.json measured/
    polyscan evaluate measured/manifest.json --task IDH 1p19q grade --reference clinical \
        --inputs clinical "clinical + lesion + lesion_FLAIR + lesion_T1 + lesion_T1c"
    polyscan train glioma_grading_classification measured/manifest.json -o run/ --config lgg_molecular

``lesion`` tells how large a lesion is to the head, where it lies in it and how even its outline is; ``lesion_FLAIR``
and so on how bright and how even it is in a contrast and how sharp its edge, that of T1c how much it enhances. Spacing
is not known, so that all is in parts of the head. The masks that people drew are measured, or with ``--answers`` those
of networks that have not seen the patient: of ``benchmarks/cross_validate.py``, or of ``polyscan infer`` for another
part.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
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


def of_look(mask: np.ndarray, images: Mapping[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """How a lesion looks in each contrast that there is; images (x, y, z) are z-scores within the head."""
    told: dict[str, dict[str, float]] = {}
    outline = binary_dilation(mask, IN_SLICE) & ~binary_erosion(mask, IN_SLICE)
    for name, image in images.items():
        values = image[mask & np.isfinite(image)]
        if len(values) > 1:
            edges = gaussian_gradient_magnitude(np.nan_to_num(image), (1, 1, 0))
            told[name] = {
                "mean": float(values.mean()),
                "standard_deviation": float(values.std()),
                "percentile_95": float(np.quantile(values, 0.95)),
                "percentile_5": float(np.quantile(values, 0.05)),
                "edge": float(edges[outline].mean()),
            }
    if {"T1", "T1c"} <= told.keys():
        gain = (images["T1c"] - images["T1"])[mask]
        gain = gain[np.isfinite(gain)]
        if len(gain) > 1:
            told["T1c"] |= {"gain_mean": float(gain.mean()), "gain_percentile_95": float(np.quantile(gain, 0.95))}
    return told


def oriented(path: str) -> np.ndarray:
    """An image (x, y, z) whose axes go to the right, to the front and upwards."""
    image = read_nifti(path)
    backwards = [axis for axis in range(3) if image.affine[axis, axis] < 0]
    return np.flip(image[0].numpy(), backwards)


def measure(study: Study, path: str | None, out: Path) -> Study:
    """The study with a table of its lesion and one of each contrast, and without its mask.

    Raises:
        PolyscanError: no mask of it is known.
    """
    if path is None or study.preparation is None or study.preparation.foreground is None:
        raise PolyscanError(f"{study.key} has no mask, or was not prepared; give a manifest that answers for it.")
    mask, head = (oriented(file) > 0.5 for file in (path, study.preparation.foreground))
    images = {name: oriented(study.scans[name].path) for name in CONTRASTS if name in study.scans}
    tables = {"lesion": of_form(mask, head)} | {f"lesion_{m}": told for m, told in of_look(mask, images).items()}
    written = scans_of({name: write_table(str(out / f"{study.key}_{name}.json"), t) for name, t in tables.items()})
    return replace(study, scans={**study.scans, **written}, label=replace(study.label, mask=None))


def measured(manifest: Manifest, answers: Mapping[str, str], out: Path) -> Manifest:
    """All studies in their sections, by the masks that answer for them where some are given, else by drawn ones."""
    return manifest.map(lambda s: measure(s, answers.get(s.key) if answers else s.label.mask, out))


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
    found = measured(read_manifest(options.manifest), answers, options.out)
    write_manifest(options.out / "manifest.json", found)
    print(f"{len(found.studies)} studies in {options.out / 'manifest.json'}")


if __name__ == "__main__":
    run(main)
