"""An answer in words, written onto a scan as a label, where a viewer has no other place for it."""

from __future__ import annotations

from collections.abc import Sequence

import nibabel
import numpy as np
import torch
from monai.data import MetaTensor
from PIL import Image, ImageDraw, ImageFont

from polyscan.geometry import spacing_of


def written(lines: Sequence[str], grid: MetaTensor) -> MetaTensor:
    """Write lines into the upper left corner of every slice, upright as viewers show slices.

    A viewer's right is the patient's left, or in sagittal slices the back; its lower edge is the back, or the feet.

    Args:
        lines: what to write.
        grid: the scan (1, x, y, z); its slices lie where its voxels are the farthest apart.

    Returns:
        (1, x, y, z) uint8, one where there is ink.
    """
    affine = np.asarray(grid.affine, dtype=float)
    along = int(np.argmax(spacing_of(affine).round(3)[::-1]))
    along = 2 - along  # of equal ones the last
    towards = nibabel.io_orientation(affine)  # for each voxel axis: which of R, A, S, and whether it grows that way
    plane = [axis for axis in range(3) if axis != along]
    # Left to right runs the axis of R, or in sagittal slices that of A: the first of both that is in the plane.
    across, down = sorted(plane, key=lambda axis: towards[axis, 0])
    shape = tuple(grid.shape[1:])
    ink = _drawn(lines, width=shape[across], height=shape[down]).T  # (across, down)
    for axis, voxel_axis in enumerate((across, down)):
        if towards[voxel_axis, 1] > 0:  # it grows to R, A or S, which are a viewer's left and upper edge
            ink = np.flip(ink, axis)
    if across > down:
        ink = ink.T
    volume = np.broadcast_to(np.expand_dims(ink, along), shape).astype(np.uint8)
    return MetaTensor(torch.from_numpy(volume.copy()[None]), affine=grid.affine)


def _drawn(lines: Sequence[str], width: int, height: int) -> np.ndarray:
    """Lines of text (height, width), one where there is ink, as large as they fit in a third of the height."""
    text = "\n".join(lines)
    image = Image.new("1", (width, height))
    draw = ImageDraw.Draw(image)
    for size in range(height // 3, 5, -1):
        font = ImageFont.load_default(size)
        _, _, right, bottom = draw.multiline_textbbox((1, 1), text, font=font)
        if right < width and bottom <= height / 3:
            break
    draw.multiline_text((1, 1), text, fill=1, font=font)
    return np.asarray(image, dtype=np.uint8)
