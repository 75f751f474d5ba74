"""A volume as one picture, all its slices beside each other, that a browser decodes and cuts along any plane."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
from PIL import Image

from polyscan.modality import find_modality
from polyscan.report.display import colour_map, window
from polyscan.report.render import data_uri

_BLOCK = 8  # of JPEG: a slice whose tile is whole blocks takes nothing from its neighbours
_QUALITIES = (85, 75, 60, 45, 30)
_LEVELS = (0, 32, 224, 255)
"""Levels of grey to which the lowest value, the window's two ends and the highest value go: most are kept for what is
seen through the window, some are left to look beyond it."""


def scan_sheet(name: str, values: np.ndarray, limit: int) -> dict[str, Any]:
    """A scan as JPEG, of which the page knows what value each grey means.

    Args:
        name: the scan's key, which tells the window and the colours.
        values: (x, y, z) float32, NaN outside the field of view.
        limit: bytes; the quality is lowered until it is met, as far as 30.
    """
    finite = np.isfinite(values)
    low, high = window(name, values)
    inside = values[finite]
    least, most = (float(inside.min()), float(inside.max())) if inside.size else (low, high)
    ends = [min(least, low - 1e-3 * (high - low)), low, high, max(most, high + 1e-3 * (high - low))]
    levels = np.interp(np.where(finite, values, least), ends, _LEVELS)
    known = find_modality(name)
    return {
        **_jpeg(np.round(levels).astype(np.uint8), limit),
        "outside": None if finite.all() else mask_sheet(~finite),
        "levels": _LEVELS,
        "values": [float(f"{end:.5g}") for end in ends],
        "unit": known.unit if known is not None and known.has_unit else "",
        "colours": colour_map(name).tobytes().hex(),
    }


def map_sheet(values: np.ndarray, limit: int) -> dict[str, Any]:
    """A map of numbers from 0 to 1, (x, y, z), as JPEG."""
    return _jpeg(np.round(np.clip(np.nan_to_num(values), 0, 1) * 255).astype(np.uint8), limit)


def mask_sheet(mask: np.ndarray) -> dict[str, Any]:
    """A mask of whole numbers or of bool, (x, y, z), as PNG, which keeps each."""
    tiles, where = _tiles(mask.astype(np.uint8))
    buffer = io.BytesIO()
    Image.fromarray(tiles).save(buffer, format="png", optimize=True)
    return {"uri": data_uri(buffer.getvalue(), "png"), **where}


def _jpeg(levels: np.ndarray, limit: int) -> dict[str, Any]:
    tiles, where = _tiles(levels)
    picture = Image.fromarray(tiles)
    for quality in _QUALITIES:
        buffer = io.BytesIO()
        picture.save(buffer, format="jpeg", quality=quality)
        if buffer.tell() <= limit:
            break
    return {"uri": data_uri(buffer.getvalue(), "jpeg"), **where}


def _tiles(volume: np.ndarray) -> tuple[np.ndarray, dict[str, Any]]:
    """The slices (x, y) of a volume in rows of tiles, and where they lie."""
    slices = volume.transpose(2, 1, 0)  # (slice, row, column)
    depth, rows, columns = slices.shape
    padded = np.pad(slices, ((0, 0), (0, -rows % _BLOCK), (0, -columns % _BLOCK)), mode="edge")
    height, width = padded.shape[1:]
    across = max(1, round(math.sqrt(depth * height / width)))
    down = -(-depth // across)
    filled = np.concatenate([padded, np.zeros((across * down - depth, height, width), padded.dtype)])
    tiles = filled.reshape(down, across, height, width).swapaxes(1, 2).reshape(down * height, across * width)
    return np.ascontiguousarray(tiles), {"tile": [width, height], "across": across}
