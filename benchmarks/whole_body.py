"""Make whole-body PET/CT studies with known lesions, prepared: nothing of them is a patient's.

    python benchmarks/whole_body.py made/ --subjects 32 --seed 1
    python benchmarks/whole_body.py other/ --subjects 8 --seed 3 --section testing --blur 8.5 --counts 0.2

From the vertex to the thighs, CT of 3.27 mm and PET of 4.07 x 4.07 x 5 mm. **A threshold of the uptake does not solve
them**: brain, heart (fasted or not), kidneys with what they excrete, drops in ureters, bladder, liver, spleen, bowel,
stomach, tonsils, larynx, salivary glands, marrow and brown fat take FDG up, much of it more than many lesions do.
Shapes are ellipsoids, their sizes, places and uptake another person's each; the outlines of tumours are ragged.

Every study has one tumour (in muscle, abdomen, lung or liver; radius 10 to 38 mm, a third of the larger ones with a
cold middle) and, in two of three, one to nine metastases in lung, liver, bone, nodes or muscle (radius 5.5 to 14 mm).
Their SUV is 2.5 to 14. Lesions keep 12 mm apart. PET and CT are shifted by some 2 mm against each other.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from parts.part import write_volume

from polyscan.phantom.random_field import RandomField
from polyscan.preprocess.prepare import prepare
from polyscan.study import Scan, Study
from polyscan.study.manifest import Manifest, write_manifest

FIELD = (400.0, 260.0, 900.0)
"""Millimetres from right to left, front to back and foot to head (LPS+); coordinates are about the middle of it."""
SPACING = {"CT": (3.27, 3.27, 3.27), "PET": (4.07, 4.07, 5.0)}
EDGE = 1.5  # mm, over which one tissue gives way to another
APART = 12.0  # mm between lesions


@dataclass(frozen=True)
class Shape:
    """A superellipsoid of one tissue.

    Attributes:
        centre, axes: (3,) millimetres.
        hu, suv: of what it holds.
        power: of the third axis: 2 an ellipsoid, 8 a cylinder.
        ragged: what moves the outline, a part of the smallest axis a unit; None where it is smooth.
    """

    centre: tuple[float, float, float]
    axes: tuple[float, float, float]
    hu: float
    suv: float
    power: int = 2
    ragged: RandomField | None = None

    def paint(self, values: np.ndarray, spacing: tuple[float, ...], shift: np.ndarray, value: float) -> None:
        """Lay a value over (z, y, x) others about the middle of the field, softly at the edge of the shape."""
        middle = (np.array(values.shape[::-1]) - 1) / 2
        centre = np.array(self.centre) + shift
        low = np.floor((centre - 1.3 * np.array(self.axes) - 4) / spacing + middle).astype(int).clip(0)
        high = np.ceil((centre + 1.3 * np.array(self.axes) + 4) / spacing + middle).astype(int) + 1
        x, y, z = (
            ((np.arange(a, min(b, n)) - m) * s - c).astype(np.float32)
            for a, b, n, m, s, c in zip(low, high, values.shape[::-1], middle, spacing, centre, strict=True)
        )
        part = values[low[2] : high[2], low[1] : high[1], low[0] : high[0]]
        if not part.size:
            return
        a, b, c = self.axes
        flat = (x[None] / a) ** 2 + (y[:, None] / b) ** 2
        half = self.power / 2
        inside = (flat[None] ** half + np.abs(z[:, None, None] / c) ** self.power) ** (1 / self.power)
        depth = (1 - inside) * min(self.axes)
        if self.ragged is not None:
            points = np.stack(np.broadcast_arrays(x[None, None], y[None, :, None], z[:, None, None]), -1).reshape(-1, 3)
            depth += 0.15 * min(self.axes) * self.ragged(points)[:, 0].reshape(depth.shape)
        part += (value - part) / (1 + np.exp(np.clip(depth * (-2 / EDGE), -30, 30)))


def organs(chance: np.random.Generator) -> list[Shape]:
    """A person without a lesion."""
    between = chance.uniform
    fat, blood, marrow = between(8, 28), between(1.2, 2.0), between(0.8, 2.2)

    def near(*place: float, by: float = 6.0) -> tuple[float, float, float]:
        x, y, z = np.array(place) + chance.normal(0, by, 3).clip(-2 * by, 2 * by)
        return float(x), float(y), float(z)

    def size(*axes: float) -> tuple[float, float, float]:
        a, b, c = np.array(axes) * between(0.85, 1.15, 3)
        return float(a), float(b), float(c)

    def log_between(low: float, high: float) -> float:
        return float(np.exp(between(np.log(low), np.log(high))))

    wide, deep = between(145, 180), between(95, 120)
    found = [
        Shape((0, 0, -80), (wide, deep, 290), -100, 0.3, 8),
        Shape((0, 0, -80), (wide - fat, deep - fat, 288), 50, 0.7, 8),
        Shape((0, 0, 220), (62, 62, 60), 45, 0.8, 8),
        Shape((0, -10, 335), (78, 95, 108), -40, 0.5),
        Shape((0, -10, 335), (73, 90, 103), 700, 0.7),
        Shape((0, -10, 342), (65, 81, 88), 35, between(6, 13)),
        *(Shape((s * 85, 0, -400), (78, 78, 60), 50, 0.7, 8) for s in (-1, 1)),
        *(Shape((s * 85, 0, -400), (14, 14, 70), 500, marrow, 8) for s in (-1, 1)),
        *(Shape(near(s * 75, 0, 30), size(54, 72, 118), -790, 0.45) for s in (-1, 1)),
        Shape((0, 72, -40), (20, 20, 290), 220, marrow, 8),
        *(Shape(near(s * 90, 25, -255), size(42, 22, 45), 220, marrow) for s in (-1, 1)),
        *(Shape((s * 92, 10, -320), (24, 24, 24), 300, marrow) for s in (-1, 1)),
        Shape(near(0, -82, 40, by=3), (18, 8, 75), 180, marrow),
        Shape(near(8, 38, 40, by=3), (12, 12, 150), 45, blood, 8),
        Shape(near(-75, -15, -85), size(78, 66, 58), 60, between(1.8, 2.8)),
        Shape(near(100, 25, -75), size(28, 42, 46), 50, between(1.4, 2.4)),
        Shape(near(55, -35, -80), size(40, 30, 34), 40, log_between(1, 4)),
    ]
    heart, muscle = near(30, -35, -5), log_between(1.5, 12)
    found += [Shape(heart, size(50, 42, 46), 45, muscle), Shape(heart, size(32, 26, 31), 42, blood)]
    for s in (-1, 1):
        place = near(s * 68, 40, -130)
        found.append(Shape(place, size(27, 24, 50), 35, between(2.5, 6)))
        found.append(Shape((place[0] - s * 10, place[1], place[2]), size(9, 9, 17), 15, log_between(5, 25)))
        for _ in range(2):
            drop = Shape(near(s * 42, 38, between(-290, -180)), (4, 4, between(6, 18)), 20, log_between(4, 20))
            found += [drop] * (chance.random() < 0.5)
        found.append(Shape(near(s * 18, -38, 258, by=2), size(8, 8, 11), 40, log_between(2.5, 7)))
        found.append(Shape(near(s * 50, -5, 250, by=2), size(11, 10, 17), 30, between(1.5, 3.5)))
    found.append(Shape(near(0, -42, 215, by=2), size(10, 8, 11), 40, log_between(1.5, 5)))
    full = between(24, 46)
    found.append(Shape(near(0, -35, -310), size(full * 1.2, full, full), 8, log_between(6, 40)))
    for _ in range(14):
        place = (between(-100, 100), between(-70, 10), between(-280, -140))
        found.append(Shape(place, size(22, 18, 22), between(20, 45), log_between(0.8, 6)))
    if chance.random() < 0.25:
        avid = log_between(2, 9)
        found += [Shape(near(s * 75, 15, 185), size(28, 10, 18), -90, avid) for s in (-1, 1)]
    return found


SITES = {
    "muscle": (
        25,
        42,
        [(-95, 60, -330), (95, 60, -330), (-85, 30, -400), (85, -30, -400), (-110, 70, 150), (110, 70, 150)],
    ),
    "abdomen": (30, 42, [(-50, 10, -200), (50, 0, -210), (0, -20, -250), (0, 20, -180)]),
    "lung": (25, 25, [(-75, 0, 30), (75, 0, 30), (-75, 10, 75), (75, 10, 75), (-75, 20, -20), (78, 30, -20)]),
    "liver": (22, 42, [(-75, -15, -85), (-95, 0, -80), (-60, -30, -90)]),
    "bone": (6, 130, [*((0, 72, z) for z in range(-240, 200, 30)), (-90, 25, -255), (90, 25, -255), (-92, 10, -320)]),
    "node": (
        9,
        45,
        [
            *((-45, 15, 60), (30, 20, 70), (0, -10, 90)),
            *((s * x, y, z) for x, y, z in ((110, 10, 140), (45, 0, 200), (60, -60, -340)) for s in (-1, 1)),
            *((15, 45, -180), (-15, 45, -220)),
        ],
    ),
}
"""Site to how far about their places lesions lie, in mm along each axis; their HU; and the places."""
OF_TUMOURS = ("muscle", "abdomen", "lung", "liver")
OF_METASTASES = ("lung", "liver", "bone", "node", "node", "muscle")


def lesions(chance: np.random.Generator) -> list[list[Shape]]:
    """A tumour, then its metastases; each a shape, and its cold middle where it has one."""
    count = 1 + int(chance.choice([0, chance.integers(1, 4), chance.integers(4, 10)], p=[0.35, 0.35, 0.3]))
    found: list[list[Shape]] = []
    while len(found) < count:
        first = not found
        about, hu, places = SITES[str(chance.choice(OF_TUMOURS if first else OF_METASTASES))]
        place = np.array(places[chance.integers(len(places))]) + chance.uniform(-about, about, 3)
        radius = chance.uniform(10, 38) if first else chance.uniform(5.5, 14)
        near = [np.linalg.norm(place - one[0].centre) < radius * 1.3 + max(one[0].axes) * 1.3 + APART for one in found]
        if any(near):
            continue
        suv = float(np.exp(chance.uniform(np.log(2.5), np.log(14))))
        axes = tuple(radius * chance.uniform(0.75, 1.15, 3))
        ragged = RandomField(chance, 0.7 * radius)
        centre = tuple(place)
        shapes = [Shape(centre, axes, hu + chance.normal(0, 15), suv, ragged=ragged)]
        if radius > 18 and chance.random() < 0.33:
            shapes.append(Shape(centre, tuple(0.5 * a for a in axes), 25, 0.25 * suv))
        found.append(shapes)
    return found


def voxels(name: str) -> tuple[int, ...]:
    """The (z, y, x) shape of a scan."""
    return tuple(round(length / s) for length, s in zip(FIELD, SPACING[name], strict=True))[::-1]


def make(number: int, seed: int, folder: Path, blur: float, counts: float) -> Study:
    """Write one study as scanners would, with its mask on the CT's grid."""
    from scipy.ndimage import gaussian_filter, zoom

    chance = np.random.default_rng([seed, number])
    normal, tumours = organs(chance), lesions(chance)
    study = Study(f"body-{seed}-{number:03d}", aligned=["CT", "PET"])
    shift = {"CT": np.zeros(3), "PET": chance.normal(0, 2, 3)}
    path = str(folder / study.subject / study.subject)
    for name, spacing in SPACING.items():
        shape = voxels(name)
        values = np.full(shape, -1000.0 if name == "CT" else 0.0, dtype=np.float32)
        for one in [*normal, *(shape for tumour in tumours for shape in tumour)]:
            one.paint(values, spacing, shift[name], one.hu if name == "CT" else one.suv)
        if name == "CT":
            values = gaussian_filter(values, 0.5) + chance.normal(0, 15, shape).astype(np.float32)
        else:
            uneven = zoom(chance.normal(0, 1, [n // 5 + 2 for n in shape]).astype(np.float32), 5, order=1)
            values *= np.exp(0.2 * uneven[: shape[0], : shape[1], : shape[2]])
            sigma, detected = np.array(spacing[::-1]) * 2.355, counts * np.prod(spacing)  # in a voxel at SUV 1
            noisy = chance.poisson(gaussian_filter(values, blur / sigma) * detected).astype(np.float32)
            values = gaussian_filter(noisy, 4.0 / sigma) / detected
        given = {"Units": "SUV"} if name == "PET" else {}
        study.scans[name] = Scan(write_volume(f"{path}_{name}.nii.gz", values.astype(np.float32), spacing), given=given)
    mask = np.zeros(voxels("CT"), dtype=np.float32)
    for whole, *_ in tumours:
        whole.paint(mask, SPACING["CT"], shift["CT"], 1.0)
    study.label.mask = write_volume(f"{path}_dseg.nii.gz", (mask > 0.5).astype(np.uint8), SPACING["CT"])
    study.label.drawn_on = "CT"
    return study


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="a new folder; its manifest is out/manifest.json")
    parser.add_argument("--subjects", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--section", default="training", choices=("training", "testing"))
    parser.add_argument("--blur", type=float, default=6.0, help="full width at half maximum of the PET, mm (6)")
    parser.add_argument("--counts", type=float, default=0.6, help="counts a mm3 at SUV 1; fewer are noisier (0.6)")
    options = parser.parse_args()
    folder = options.out / "scans"
    studies = [make(k, options.seed, folder, options.blur, options.counts) for k in range(options.subjects)]
    scans = Manifest(**{options.section: studies})
    prepared = prepare(scans, options.out / "prepared", protocol="petct", registered=True)
    write_manifest(options.out / "manifest.json", replace(prepared, roots={"made": str(options.out)}))
    print(f"{options.subjects} studies in {options.out / 'manifest.json'}")


if __name__ == "__main__":
    main()
