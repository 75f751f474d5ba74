"""Draw one subject of the phantom cohort as the documentation shows it.

python benchmarks/phantom_picture.py docs/images/phantom.png
"""

from __future__ import annotations

import sys

import numpy as np
from matplotlib.figure import Figure
from scipy.ndimage import map_coordinates

from polyscan.phantom.subject import LABELS, MODALITIES, make_subject

WINDOWS = {"CT": (-80, 160), "PET": (0, None)}
COLOURS = {LABELS["oedema"]: "#33c6ff", LABELS["rim"]: "#f5793a", LABELS["necrosis"]: "#ffd75e"}


def main(path: str, number: int = 1, seed: int = 5) -> None:
    """Draw axial, coronal and sagittal planes through the tumour, every scan in the head's own coordinates."""
    subject = make_subject(number, seed)
    scans = {modality: subject.scan(modality, "full") for modality in MODALITIES}
    label, _, grid = subject.truth("T1c", "full")
    across, up = np.meshgrid(np.arange(-90, 91.0), np.arange(95, -96.0, -1), indexing="xy")
    x, y, z = subject.tumour.centre
    planes = [
        np.stack([-across, up, np.full_like(up, z)], -1),
        np.stack([-across, np.full_like(up, y), up], -1),
        np.stack([np.full_like(up, x), -across, up], -1),
    ]
    figure = Figure(figsize=(2 * (len(scans) + 1), 6.2), dpi=100, facecolor="black")
    axes = figure.subplots(3, len(scans) + 1, gridspec_kw={"wspace": 0.02, "hspace": 0.02})
    figure.subplots_adjust(0, 0, 1, 0.96)
    for row, points in enumerate(planes):
        truth = cut(label, subject.lying["T1c"] @ grid.affine, points, order=0)
        for column, modality in enumerate([*scans, "T1c"]):
            place, scan = axes[row, column], scans[modality]
            low, high = WINDOWS.get(modality, (0, None))
            place.imshow(
                cut(scan.values, scan.to_head @ scan.grid.affine, points, order=1),
                cmap="gray_r" if modality == "PET" else "gray",
                vmin=low,
                vmax=high or np.percentile(scan.values, 99.7),
            )
            place.set_axis_off()
            if column == len(scans):
                for value, colour in COLOURS.items():
                    if (truth == value).any():
                        place.contour(truth == value, levels=[0.5], colors=colour, linewidths=1)
            if row == 0:
                place.set_title("truth" if column == len(scans) else modality, color="white", fontsize=11)
    figure.savefig(path)


def cut(values: np.ndarray, affine: np.ndarray, points: np.ndarray, *, order: int) -> np.ndarray:
    """Values of an array at (row, column, 3) points."""
    index = (points - affine[:3, 3]) @ np.linalg.inv(affine[:3, :3]).T
    return map_coordinates(values, index.reshape(-1, 3).T, order=order).reshape(points.shape[:2])


if __name__ == "__main__":
    main(sys.argv[1])
