"""A head as a function of coordinates: tissue fractions at any point, another head for each seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from polyscan.phantom.random_field import RandomField
from polyscan.phantom.tissues import NAMES

_EDGE = 0.8  # mm, over which one tissue gives way to another
_REACH = 4 * _EDGE  # outside of its own depth 0, beyond which a tissue covers nothing

# Ellipsoids of one side, centre and half-axes in millimetres.
_Ellipsoids = tuple[tuple[tuple[float, float, float], tuple[float, float, float]], ...]
_DEEP_GREY: _Ellipsoids = (
    ((11, -14, 3), (9, 14, 9)),  # thalamus
    ((15, 14, 9), (5, 15, 9)),  # caudate
    ((27, 4, 0), (6, 17, 10)),  # putamen
)
_VENTRICLES: _Ellipsoids = (
    ((9, 17, 12), (5, 19, 7)),  # frontal horn and body
    ((14, -22, 12), (6.5, 22, 7.5)),  # atrium
    ((24, -30, -8), (4, 14, 5)),  # temporal horn
)


@dataclass(frozen=True)
class Tumour:
    """Where a tumour is and how it grows.

    Attributes:
        centre: (3,) in the head's own millimetres.
        oedema, core, necrosis: radii in millimetres; necrosis 0 where there is none.
        enhances: whether its rim takes up gadolinium.
    """

    centre: np.ndarray
    oedema: float
    core: float
    necrosis: float
    enhances: bool


class Anatomy:
    """Skull, scalp and brain of one person, with a tumour.

    Coordinates are RAS+ millimetres about the middle of the head. The shapes are the same for everyone; a smooth
    deformation and the folds of the cortex are a person's own.

    Args:
        head: draws size, deformation, folds and ventricles.
        tumour: what grows in it, None for a healthy head.
    """

    def __init__(self, head: np.random.Generator, tumour: Tumour | None) -> None:
        self._scale = 1 / head.uniform(0.94, 1.05, 3).astype(np.float32)
        self._warp = RandomField(head, 55.0, components=3, features=24)
        self._folds = RandomField(head, 7.5, features=64)
        self._leaves = RandomField(head, 3.0, features=48)
        self._ventricles = head.uniform(0.8, 1.35)
        self._shape = RandomField(head, 13.0, features=32)
        self._tumour = tumour

    def fractions(self, points: np.ndarray) -> np.ndarray:
        """The (tissue, point) fractions, in the order of :data:`NAMES`, at (point, 3) coordinates; they sum to 1."""
        points = points.astype(np.float32)
        # One axis a row: what follows goes through all points axis by axis.
        p = np.ascontiguousarray((points * self._scale + 3.0 * self._warp(points)).T)
        canvas = np.zeros((len(NAMES), len(points)), dtype=np.float32)
        canvas[0] = 1
        _paint(
            canvas,
            "scalp",
            -np.minimum(_ellipsoid(p, (0, 0, 0), (76, 95, 88)), _ellipsoid(p, (0, 48, -52), (56, 44, 52))),
        )
        inside = np.flatnonzero(canvas[0] < 0.999)
        head, q = canvas[:, inside], p[:, inside]
        _paint(head, "skull", -_ellipsoid(q, (0, -2, 4), (70, 87.5, 79.5)))
        # The floor of the skull: higher under the frontal and temporal lobes than under the cerebellum.
        floor = -42 - 34 / (1 + np.exp(np.clip((q[1] + 22) / 3, -30, 30))) - q[2]
        _paint(head, "muscle", np.minimum(floor - 7, -_ellipsoid(q, (0, -2, 0), (66, 80, 84))))
        cavity = np.maximum(_ellipsoid(q, (0, -2, 4), (64, 81, 73)), floor)
        _paint(head, "csf", -cavity)
        self._face(head, q)
        within = np.flatnonzero(cavity < 3)
        brain, r = head[:, within], q[:, within]
        self._cerebrum(brain, r)
        self._cerebellum(brain, r)
        if self._tumour is not None:
            self._grow(brain, r, self._tumour)
        head[:, within] = brain
        canvas[:, inside] = head
        return canvas

    def _face(self, canvas: np.ndarray, p: np.ndarray) -> None:
        """Sinuses and eyes."""
        _paint(canvas, "skull", -_ellipsoid(p, (0, 58, -58), (24, 22, 15)))
        _paint(canvas, "air", -_ellipsoid(p, (0, 60, -58), (20, 19, 12)))
        for side in (-1, 1):
            _paint(canvas, "csf", -_ellipsoid(p, (33 * side, 77, -26), (12, 12, 12)))
            _paint(canvas, "white", -_ellipsoid(p, (33 * side, 85, -26), (4.5, 2.5, 4.5)))

    def _cerebrum(self, canvas: np.ndarray, p: np.ndarray) -> None:
        """Cortex folded along the zero surfaces of a random field, white matter, ventricles, deep grey matter."""
        depth = -np.maximum(_ellipsoid(p, (0, 0, 6), (61, 77, 67)), -38 - p[2] - 0.15 * p[1])
        fold = self._folds(p.T)[:, 0]
        # Folds run deep between gyri; the fissure between the hemispheres runs down to the corpus callosum.
        fissure = np.exp(-((p[0] / 3.0) ** 2)) * np.clip((p[2] - 14) / 4 + np.abs(p[1]) / 20, 0, 1)
        sulcus = np.maximum(16 * np.exp(-((fold / 0.2) ** 2)), 45 * fissure)
        grey = np.maximum(19 * np.exp(-((fold / 0.55) ** 2)), 49 * np.exp(-((p[0] / 6.5) ** 2)) * (fissure > 0.02))
        _paint(canvas, "grey", depth - 0.9 * sulcus)
        _paint(canvas, "white", depth - 3.2 - 0.8 * np.maximum(grey, sulcus))
        for side in (-1, 1):
            for centre, axes in _DEEP_GREY:
                _paint(canvas, "grey", -_ellipsoid(p, (centre[0] * side, *centre[1:]), axes) - 0.3)
            size = self._ventricles
            for centre, axes in _VENTRICLES:
                _paint(canvas, "csf", -_ellipsoid(p, (centre[0] * side, *centre[1:]), [a * size for a in axes]))
            _paint(canvas, "calcification", -_ellipsoid(p, (15 * side, -32, 10), (2.5, 5, 2.5)))
        _paint(canvas, "csf", -_ellipsoid(p, (0, -2, -2), (2.2 * self._ventricles, 13, 9)))
        _paint(canvas, "calcification", -_ellipsoid(p, (0, -29, 4), (3, 3.5, 3)))

    def _cerebellum(self, canvas: np.ndarray, p: np.ndarray) -> None:
        depth = -_ellipsoid(p, (0, -50, -42), (46, 27, 22))
        near = np.flatnonzero(depth > -_REACH)
        part, depth, leaves = canvas[:, near], depth[near], self._leaves(p[:, near].T)[:, 0]
        _paint(part, "grey", depth - 2.5 * np.exp(-((leaves / 0.2) ** 2)))
        _paint(part, "white", depth - 6 - 7 * np.exp(-((leaves / 0.7) ** 2)))
        canvas[:, near] = part
        _paint(canvas, "white", -_ellipsoid(p, (0, -20, -45), (11, 13, 34)))
        _paint(canvas, "csf", -_ellipsoid(p, (0, -34, -38), (5, 4, 9)))

    def _grow(self, canvas: np.ndarray, p: np.ndarray, tumour: Tumour) -> None:
        distance = np.sqrt(((p - tumour.centre.astype(np.float32)[:, None]) ** 2).sum(0))
        near = np.flatnonzero(distance < 1.8 * tumour.oedema)
        part, distance = canvas[:, near], distance[near]
        ragged = self._shape(p[:, near].T)[:, 0]
        skull = part[NAMES.index("skull")] + part[NAMES.index("scalp")] + part[0]
        # Oedema runs along white matter and stops at the cortex.
        room = (0.35 + 0.65 * part[NAMES.index("white")]) * (1 - skull) * (1 - part[NAMES.index("csf")])
        _paint(part, "oedema", tumour.oedema * (1 + 0.18 * ragged) - distance, room)
        solid = tumour.core * (1 + 0.10 * ragged) - distance
        _paint(part, "rim" if tumour.enhances else "core", solid, 1 - skull)
        if tumour.necrosis > 0:
            _paint(part, "necrosis", tumour.necrosis * (1 + 0.15 * ragged) - distance, 1 - skull)
        canvas[:, near] = part


def _paint(canvas: np.ndarray, tissue: str, depth: np.ndarray, room: np.ndarray | None = None) -> None:
    """Lay a tissue over what is there, fully where ``depth`` (mm inside its edge) is well above 0."""
    touched = np.flatnonzero(depth > -_REACH)
    cover = 1 / (1 + np.exp(np.maximum(depth[touched] * np.float32(-2 / _EDGE), -30)))
    if room is not None:
        cover *= room[touched]
    part = canvas[:, touched] * (1 - cover)
    part[NAMES.index(tissue)] += cover
    canvas[:, touched] = part


def _ellipsoid(p: np.ndarray, centre: tuple, axes: tuple | list) -> np.ndarray:
    """About the signed distance of (3, point) to an ellipsoid in millimetres, negative inside."""
    square, steep = np.zeros(p.shape[1], np.float32), np.zeros(p.shape[1], np.float32)
    for row, middle, half in zip(p, centre, axes, strict=True):
        scaled = (row - np.float32(middle)) / np.float32(half)
        scaled *= scaled
        square += scaled
        scaled /= np.float32(half**2)
        steep += scaled
    norm = np.sqrt(square)
    return norm * (norm - 1) / np.maximum(np.sqrt(steep), 1e-6)
