"""Known when wrong: how often a trusted registration is wrong and a right one refused, over pairs with known truth.

    python benchmarks/registration_trust.py --data FOLDER --out pairs.jsonl [--seed 0] [--part 0 --parts 1]
    python benchmarks/registration_trust.py --pairs pairs.jsonl ... [--picture trust.png]

Every pair is moved by a known pose. Patients are halved: thresholds may be looked for on the first half (``fit``), and
the figures that count are those of the second (``held out``). A trusted pair of scans of two patients counts as wrong.

- ``made heads``: pairs of T1, T2, FLAIR, CT and PET of the phantom, some with 40 % of their slices cut off.
- ``altered copies``: a sarcoma patient's CT, T1 or PET against itself, moved, interpolated, its contrast bent, blurred,
  with noise and cut: limbs with small fields of view and a truth that is exact.
- ``sarcoma``: CT, T1 and PET of 51 patients by their headers, which are uncertain by several millimetres (patients lay
  differently in two machines); reported apart.
- ``real heads``: the glioma patient's contrasts, one head in three positions, MS contrasts and visits, moved; the
  references are themselves good to 1 to 2 mm.
- ``aligned heads``: MS contrasts at 2 mm and lower-grade gliomas (nominal spacing), which lie in one space.
- ``unrelated``: scans of two patients, of each of these kinds.
"""

from __future__ import annotations

import argparse
import itertools
import json
import zlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from registered_heads import registered_heads
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from polyscan.phantom.subject import make_subject
from polyscan.registration import register_rigid
from polyscan.registration.poses import Poses, placed

FLIP = np.diag([-1.0, -1, 1, 1])
WRONG = 3.0  # mm


@dataclass
class Pair:
    """Two images and the truth between their points, None where they are of two patients."""

    kind: str
    patient: str
    name: str
    fixed: sitk.Image
    moving: sitk.Image
    truth: Poses | None


def image_of(values: np.ndarray, spacing: tuple[float, float, float]) -> sitk.Image:
    """A (z, y, x) array about the origin."""
    image = sitk.GetImageFromArray(values.astype(np.float32))
    image.SetSpacing(spacing)
    image.SetOrigin([-(n - 1) * s / 2 for n, s in zip(image.GetSize(), spacing, strict=True)])
    return image


def moved(pair: Pair, rng: np.random.Generator, degrees: float = 20.0, shift: float = 25.0) -> Pair:
    """A pair whose moving image is put elsewhere, and in a third of the cases loses 30 % of its slices."""
    axis, way = rng.normal(size=(2, 3))
    turn = Rotation.from_rotvec(axis / np.linalg.norm(axis) * rng.uniform(0, degrees), degrees=True).as_matrix()
    pose = Poses(turn[None], (way / np.linalg.norm(way) * rng.uniform(0, shift))[None])
    image, name = pair.moving, pair.name
    if rng.random() < 1 / 3:
        cut, count = rng.random() < 0.5, image.GetSize()[2]
        image = image[:, :, int(0.3 * count) :] if cut else image[:, :, : int(0.7 * count)]
        name += " cropped"
    truth = None if pair.truth is None else pose.compose(pair.truth)
    return Pair(pair.kind, pair.patient, name, pair.fixed, placed(image, pose), truth)


def made_heads(count: int, seed: int) -> Iterator[Pair]:
    """Phantom heads of 3 mm, and heads of two subjects."""
    before: dict[str, sitk.Image] = {}
    for number in range(1, count + 1):
        subject, rng = make_subject(number, 5 + seed), np.random.default_rng([seed, number])
        scans = {}
        for name in ("T1", "T2", "FLAIR", "CT", "PET"):
            scan = subject.scan(name, "small")
            lps = FLIP @ scan.grid.affine
            image = sitk.GetImageFromArray(np.ascontiguousarray(scan.values.transpose()))
            spacing = np.linalg.norm(lps[:3, :3], axis=0)
            image.SetSpacing(spacing.tolist())
            image.SetOrigin(lps[:3, 3].tolist())
            image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
            scans[name] = image
        for fixed, moving in (("T1", "T2"), ("T1", "FLAIR"), ("T1", "CT"), ("T1", "PET"), ("CT", "PET")):
            truth = FLIP @ np.linalg.inv(subject.lying[moving]) @ subject.lying[fixed] @ FLIP
            pose = Poses(truth[None, :3, :3], truth[None, :3, 3])
            pair = Pair("made heads", f"made{number}", f"{fixed}-{moving}", scans[fixed], scans[moving], pose)
            yield moved(pair, rng)
            yield moved(pair, rng)
            if before and rng.random() < 0.6:
                pair = Pair("unrelated", f"made{number}", f"made {fixed}-{moving}", scans[fixed], before[moving], None)
                yield moved(pair, rng)
        before = scans


def altered(image: sitk.Image, rng: np.random.Generator) -> tuple[sitk.Image, Poses]:
    """The image on another grid, its contrast bent, blurred, with a bias field and noise; and the truth."""
    axis, way = rng.normal(size=(2, 3))
    turn = Rotation.from_rotvec(axis / np.linalg.norm(axis) * rng.uniform(3, 20), degrees=True).as_matrix()
    pose = Poses(turn[None], (way / np.linalg.norm(way) * rng.uniform(3, 20))[None])
    spacing = rng.uniform(2.5, 5.0, 3)
    size = [int(n * s / t) for n, s, t in zip(image.GetSize(), image.GetSpacing(), spacing, strict=True)]
    origin = [-(n - 1) * s / 2 for n, s in zip(size, spacing, strict=True)]
    new = sitk.Resample(
        image,
        size,
        pose.inverse().to_itk(np.zeros(3)),
        sitk.sitkLinear,
        origin,
        spacing.tolist(),
        np.eye(3).ravel().tolist(),
        float("nan"),
    )
    values = sitk.GetArrayFromImage(new)
    there = np.isfinite(values)
    low, high = np.percentile(values[there], (1, 99))
    unit = np.clip((np.nan_to_num(values, nan=low) - low) / max(high - low, 1e-6), 0, 1)
    bent = [unit ** rng.uniform(0.4, 2.0), 1 - unit ** rng.uniform(0.5, 2), np.sin(unit * rng.uniform(2.0, 4.0))]
    bent = gaussian_filter(bent[rng.integers(3)], rng.uniform(0, 1.0))
    field = gaussian_filter(rng.normal(size=unit.shape), 8)
    bent = bent * (1 + 0.2 * field / np.abs(field).max()) + rng.normal(size=unit.shape) * rng.uniform(0.01, 0.08)
    out = sitk.GetImageFromArray(np.where(there, bent, np.nan).astype(np.float32))
    out.CopyInformation(new)
    return out, pose


def sarcoma(data: Path, seed: int) -> Iterator[Pair]:
    """Altered copies, other modalities of a patient, and other patients."""
    patches = np.load(data / "sarcoma_ct_mr_pet" / "patches_48mm.npz")["images"].astype(np.float32)
    spacing = (3.27, 3.27, 3.27)
    names = ("CT", "T1", "PET")
    scans = [[image_of(channel.transpose(), spacing) for channel in patient] for patient in patches]
    for number, images in enumerate(scans):
        rng = np.random.default_rng([seed, 7, number])
        patient = f"sarcoma{number}"
        for k in (0, 0, 1, 1, 2):
            image, pose = altered(images[k], rng)
            if rng.random() < 0.3:
                image = image[:, :, int(0.35 * image.GetSize()[2]) :]
            yield Pair("altered copies", patient, names[k], images[k], image, pose)
        for a, b in ((0, 1), (0, 2), (1, 2)):
            pair = Pair("sarcoma", patient, f"{names[a]}-{names[b]}", images[a], images[b], Poses.identity())
            yield moved(pair, rng)
        for a, b in ((0, 0), (1, 1), (0, 1), (0, 2), (1, 2)):
            other = scans[(number + int(rng.integers(1, len(scans)))) % len(scans)]
            yield moved(Pair("unrelated", patient, f"limb {names[a]}-{names[b]}", images[a], other[b], None), rng)


def real_heads(data: Path, repeats: int, seed: int) -> Iterator[Pair]:
    """Scans as acquired with published or consistent references."""
    listed = registered_heads(data)
    images = {path: sitk.ReadImage(str(path), sitk.sitkFloat32) for each in listed for path in each[2:4]}
    for number, (patient, _, fixed, moving, truth) in enumerate(listed):
        rng = np.random.default_rng([seed, 11, number])
        pair = Pair(
            "real heads", patient, f"{fixed.stem[:12]}-{moving.stem[:12]}", images[fixed], images[moving], truth
        )
        for _ in range(repeats):
            yield moved(pair, rng)
        others = [each.moving for each in listed if each.patient != patient]
        for _ in range(2):
            other = others[rng.integers(len(others))]
            pair = Pair(
                "unrelated", patient, f"real {fixed.stem[:9]}-{other.stem[:9]}", images[fixed], images[other], None
            )
            yield moved(pair, rng)


def aligned_heads(data: Path, seed: int) -> Iterator[Pair]:
    """Contrasts that were brought into one space by others, and other patients' heads."""
    cross = np.load(data / "ms_longitudinal" / "crosssectional_mni2mm_3pts.npz")["images"].astype(np.float32)
    lgg = np.load(data / "lgg_mri" / "partA.npz")
    sets = [("ms", [[image_of(c.transpose(), (2.0, 2.0, 2.0)) for c in patient] for patient in cross], 3)]
    kept = [patient for patient, there in zip(lgg["images"], lgg["available"], strict=True) if there.all()][:40]
    sets.append(("lgg", [[image_of(c.astype(np.float32), (2.1, 2.1, 8.0)) for c in p] for p in kept], 1))
    for name, patients, repeats in sets:
        for number, images in enumerate(patients):
            rng = np.random.default_rng([seed, 13, number])
            for k in range(1, len(images)):
                for _ in range(repeats):
                    pair = Pair(
                        "aligned heads", f"{name}{number}", f"{name} 0-{k}", images[0], images[k], Poses.identity()
                    )
                    yield moved(pair, rng)
            for _ in range(2):
                other = patients[(number + int(rng.integers(1, len(patients)))) % len(patients)]
                k = int(rng.integers(len(other)))
                yield moved(Pair("unrelated", f"{name}{number}", f"{name} 0-{k}", images[0], other[k], None), rng)


def points_of(image: sitk.Image) -> np.ndarray:
    """(27, 3) points of the inner half of an image's field of view."""
    steps = np.array(np.meshgrid(*[(0.25, 0.5, 0.75)] * 3)).reshape(3, -1).T * (np.array(image.GetSize()) - 1)
    return np.array([image.TransformContinuousIndexToPhysicalPoint(step.tolist()) for step in steps])


def measured(pair: Pair) -> dict:
    """What registration says of a pair, and its mean target registration error."""
    found = register_rigid(pair.fixed, pair.moving)
    error = None
    if pair.truth is not None:
        points = points_of(pair.fixed)
        there = Poses.of_itk(found.transform)(points) - pair.truth(points)
        error = float(np.linalg.norm(there, axis=2).mean())
    half = "fit" if zlib.crc32(pair.patient.encode()) % 2 else "held out"
    return {
        "kind": pair.kind, "patient": pair.patient, "half": half, "name": pair.name, "error": error,
        "trusted": found.trusted, "reason": found.reason, "measures": found.measures,
    }  # fmt: skip


def every_pair(data: Path, seed: int) -> Iterator[Pair]:
    """Pairs of each kind in turn, so that a run that is stopped has some of all."""
    kinds = [sarcoma(data, seed), made_heads(60, seed), real_heads(data, 3, seed), aligned_heads(data, seed)]
    for several in itertools.zip_longest(*kinds):
        yield from (pair for pair in several if pair is not None)


def summary(pairs: list[dict]) -> None:
    """Print, by half and kind, how many were trusted and wrong, and how many were right and refused."""
    print("| half | kind | pairs | right | trusted | trusted and wrong | right and refused |")
    print("|---" * 7 + "|")
    table: dict[tuple[str, str], list[dict]] = defaultdict(list)
    for pair in pairs:
        table[pair["half"], pair["kind"]].append(pair)
        if pair["kind"] != "sarcoma":
            table[pair["half"], "all but sarcoma by header"].append(pair)
    for (half, kind), some in sorted(table.items()):
        right = [pair for pair in some if is_right(pair)]
        trusted = [pair for pair in some if pair["trusted"]]
        wrong, refused = sum(not is_right(p) for p in trusted), sum(not p["trusted"] for p in right)
        print(
            f"| {half} | {kind} | {len(some)} | {len(right)} | {len(trusted)} "
            f"| {wrong} ({wrong / max(len(trusted), 1):.1%}) | {refused} ({refused / max(len(right), 1):.1%}) |"
        )
    for pair in pairs:
        if pair["trusted"] and not is_right(pair) and pair["kind"] != "sarcoma":
            error = "two patients" if pair["error"] is None else f"{pair['error']:.1f} mm"
            print(f"trusted and wrong: {pair['half']}, {pair['kind']}, {pair['name']}: {error}, {pair['reason']}")


def is_right(pair: dict) -> bool:
    """Whether a pair is of one patient and its error at most WRONG."""
    return pair["error"] is not None and pair["error"] <= WRONG


def picture(pairs: list[dict], path: Path) -> None:
    """Distinctiveness against error, and the two kinds of failure against its threshold."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    pairs = [pair for pair in pairs if pair["measures"] and pair["kind"] != "sarcoma"]
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2))
    for kind in sorted({pair["kind"] for pair in pairs}):
        some = [pair for pair in pairs if pair["kind"] == kind]
        errors = [100.0 if pair["error"] is None else max(pair["error"], 0.05) for pair in some]
        left.scatter(errors, [max(pair["measures"]["distinctiveness"], 1e-3) for pair in some], s=8, label=kind)
    left.axhline(0.021, color="black", lw=0.8)
    left.axvline(WRONG, color="black", lw=0.8, ls=":")
    left.set(xscale="log", yscale="log", xlabel="error in mm (two patients: 100)", ylabel="distinctiveness at 2 mm")
    left.legend(fontsize=7)
    good = np.array([pair["measures"]["distinctiveness"] for pair in pairs if is_right(pair)])
    bad = np.array([pair["measures"]["distinctiveness"] for pair in pairs if not is_right(pair)])
    at = np.linspace(0, 0.05, 101)
    right.plot(at, [(good < t).mean() for t in at], label="right ones refused")
    right.plot(
        at, [(bad >= t).sum() / max((bad >= t).sum() + (good >= t).sum(), 1) for t in at], label="wrong of trusted"
    )
    right.axvline(0.021, color="black", lw=0.8)
    right.set(xlabel="least distinctiveness, alone", ylabel="share", ylim=(0, 0.1))
    right.legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main() -> None:
    """Register every pair and write what came of it, or print the table of what was written."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--out", type=Path, default=Path("pairs.jsonl"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--part", type=int, default=0, help="which share of the pairs, for several processes")
    parser.add_argument("--parts", type=int, default=1)
    parser.add_argument("--pairs", type=Path, nargs="*", help="written by --out")
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    if options.data is not None:
        with options.out.open("w") as file:
            for number, pair in enumerate(every_pair(options.data, options.seed)):
                if number % options.parts == options.part:
                    file.write(json.dumps(measured(pair)) + "\n")
                    file.flush()
    pairs = [json.loads(line) for path in options.pairs or [options.out] for line in path.read_text().splitlines()]
    summary(pairs)
    if options.picture is not None:
        picture(pairs, options.picture)


if __name__ == "__main__":
    main()
