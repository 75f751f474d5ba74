"""Pictures of a study: each modality with outlines, and how well registration laid one scan on another."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from monai.data import MetaTensor

from polyscan.geometry import FLIP
from polyscan.modality import MODALITIES
from polyscan.report.planes import Plane
from polyscan.scan_key import ScanKey

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PREDICTION, TRUTH = "#f5793a", "#33c6ff"  # told apart with any colour vision
_OUTSIDE = "#2b3a55"
_INCHES = 2.2


def modality_picture(name: str, image: MetaTensor, cuts: list[Plane], masks: Mapping[str, np.ndarray]) -> str:
    """A row of planes of one modality with the outlines of masks, as a data URI.

    Args:
        name: the modality.
        image: (1, x, y, z).
        cuts: the planes.
        masks: ``"prediction"`` and ``"truth"`` to (x, y, z) bool, those that are known.
    """
    values = image[0].numpy()
    low, high = window(name, values)
    figure, axes = _row(len(cuts))
    for place, cut in zip(axes, cuts, strict=True):
        _show(place, cut, cut.cut(values), low, high, _colours(name))
        for kind, mask in masks.items():
            _outline(place, cut.cut(mask), kind)
    return _data_uri(figure)


def flat_picture(path: str) -> str:
    """A 2D picture as a data URI."""
    from PIL import Image

    buffer = io.BytesIO()
    with Image.open(path) as picture:
        picture.convert("RGB").save(buffer, format="png")
    return _encoded(buffer)


def registration_picture(
    fixed: np.ndarray, moving: MetaTensor, matrix: np.ndarray, name: str, cuts: list[Plane]
) -> str:
    """A checkerboard of the reference and a scan where a matrix lays it, as a data URI.

    Args:
        fixed: (x, y, z) of the reference, as it is shown beside.
        moving: the scan (1, x, y, z) on a grid of its own.
        matrix: (4, 4) from points of the reference to those of the scan, in LPS+ millimetres.
        name: the scan's key.
        cuts: planes of the reference's grid.
    """
    window_moving, window_fixed = window(name, moving.numpy()), np.nanpercentile(fixed, [1, 99.5])
    figure, axes = _row(len(cuts))
    for place, cut in zip(axes, cuts, strict=True):
        under = _scale(cut.cut(fixed), *window_fixed)
        over = _scale(_sample(moving, matrix, cut.points), *window_moving)
        rows, columns = np.indices(under.shape)
        tile = max(under.shape[1] // 6, 2)
        board = (np.floor(rows * cut.aspect / tile) + columns // tile) % 2 == 0
        _show(place, cut, np.where(board, under, over), 0, 1, "gray")
    return _data_uri(figure)


def window(name: str, values: np.ndarray) -> tuple[float, float]:
    """What is black and what is white: the window of the modality where it has one, percentiles else."""
    known = MODALITIES.get(ScanKey.parse(name).modality)
    if known is not None and known.window is not None:
        return known.window
    low, high = np.nanpercentile(values, [1, 99.5])
    return float(low), float(high) if high > low else float(low) + 1


def _colours(name: str) -> str:
    known = MODALITIES.get(ScanKey.parse(name).modality)
    return "gray" if known is None else known.colours


def _sample(moving: MetaTensor, matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """A scan's values at LPS+ points (row, column, 3) of the reference; NaN outside."""
    from scipy.ndimage import map_coordinates

    to_index = np.linalg.inv(np.asarray(moving.affine, dtype=float)) @ FLIP @ matrix
    index = points.reshape(-1, 3) @ to_index[:3, :3].T + to_index[:3, 3]
    values = moving[0].numpy().astype(np.float32)
    return map_coordinates(values, index.T, order=1, cval=np.nan).reshape(points.shape[:2])


def _scale(values: np.ndarray, low: float, high: float) -> np.ndarray:
    return np.clip((values - low) / (high - low), 0, 1)


def _row(count: int) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_INCHES * count, _INCHES), dpi=110, facecolor="black")
    axes = figure.subplots(1, count, gridspec_kw={"wspace": 0.02, "left": 0, "right": 1, "bottom": 0, "top": 1})
    return figure, axes


def _show(place: Axes, cut: Plane, picture: np.ndarray, low: float, high: float, colours: str) -> None:
    from matplotlib import colormaps

    colour_map = colormaps[colours].with_extremes(bad=_OUTSIDE)
    place.imshow(np.ma.masked_invalid(picture), cmap=colour_map, vmin=low, vmax=high, aspect=cut.aspect)
    place.set_axis_off()
    corners = ((0.03, 0.5), (0.97, 0.5), (0.5, 0.96), (0.5, 0.04))
    for letter, (x, y) in zip(cut.letters, corners, strict=True):
        place.text(x, y, letter, transform=place.transAxes, color="#ffd75e", fontsize=7, ha="center", va="center")


def _outline(place: Axes, mask: np.ndarray, kind: str) -> None:
    if mask.any():
        colour, style = (TRUTH, "--") if kind == "truth" else (PREDICTION, "-")
        place.contour(mask.astype(float), levels=[0.5], colors=colour, linestyles=style, linewidths=1.1)


def _data_uri(figure: Any) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", facecolor=figure.get_facecolor(), metadata={"Software": None})
    return _encoded(buffer)


def _encoded(buffer: io.BytesIO) -> str:
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
