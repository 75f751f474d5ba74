"""How surely a scan that is unlike the known ones is told: lower-grade gliomas of TCGA, spoiled and of other hospitals.

    python benchmarks/atypical_scans.py partA.npz [--bundle brain_mri_tumour_segmentation] [--slices 8]

Reads an archive of ``lgg_mri`` (T1, FLAIR and T1c of 75 patients as slices). Each scan is made a z-score inside the
body that the good FLAIR shows, as the protocol ``slices_mri`` does, and spoiled before that. Two flags that polyscan
has are compared: how far what a bundle's encoder makes of a scan lies from what it makes of known ones (the
``typicality`` of classifications; the encoder has seen made heads only), and how far the percentiles of the intensities
do (``polyscan prepare --profiles``), the simple baseline; between them the means of the encoder's deepest level alone.
Each knows four fifths of the patients and is asked about the rest, in five folds; a scan is flagged where at most 5 %
of known scans lie as far, so that 5 % of good scans are.

A row a fault: the AUROC of each distance between good and spoiled scans of the same held out patients, the mean over
contrasts and folds, with 95 % intervals over patients; and how many spoiled scans are flagged. Then hospitals, by the
code in a patient's name: how many good scans of one are flagged by what is known of all others.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.stats import binomtest

from polyscan.bundle.encoder import StudyEncoder
from polyscan.evaluation.statistics import auroc, bootstrap, over_folds
from polyscan.inference import FeatureDistance
from polyscan.networks import CachedFeatures, FusionModel
from polyscan.preprocess.mask import foreground
from polyscan.preprocess.normalize import z_score
from polyscan.preprocess.profiles import distance, profile

CONTRASTS = ("T1", "FLAIR", "T1c")
IN_PLACE_OF = {"T1": "FLAIR", "FLAIR": "T1", "T1c": "T1"}
FOLDS, LEVEL, FEWEST = 5, 0.05, 8
Array = NDArray[np.float64]
Scans = dict[str, Array]
"""Contrast to volume (x, y, z), of one patient."""


def noise(deviations: float) -> Callable[[Array, np.random.Generator], Array]:
    """White noise of so many standard deviations of the scan."""
    return lambda v, chance: v + deviations * v.std() * chance.standard_normal(v.shape)


def ghosts(part: float) -> Callable[[Array, np.random.Generator], Array]:
    """A part of the image as two ghosts along one axis, as of motion."""
    return lambda v, chance: (1 - part) * v + part / 2 * (np.roll(v, 14, 1) + np.roll(v, -14, 1))


def cut_off(v: Array, chance: np.random.Generator) -> Array:
    """Nothing beyond the middle."""
    cut = v.copy()
    cut[v.shape[0] // 2 :] = 0
    return cut


def coil(v: Array, chance: np.random.Generator) -> Array:
    """Half as bright at one side, half as much again at the other."""
    return v * np.linspace(0.5, 1.5, v.shape[1])[None, :, None]


def scanner(v: Array, chance: np.random.Generator) -> Array:
    """Dark tissue brighter (a gamma of 0.7), and smoothed by a pixel."""
    return gaussian_filter((v / v.max()) ** 0.7 * v.max(), (1, 1, 0))


FAULTS: dict[str, Callable[[Array, np.random.Generator], Array]] = {
    "noise, 0.25 deviations": noise(0.25),
    "noise, 1 deviation": noise(1.0),
    "ghosts, a fifth": ghosts(0.2),
    "ghosts, a half": ghosts(0.5),
    "cut off": cut_off,
    "coil": coil,
    "other scanner, made": scanner,
}
WRONG = "wrong contrast"


class Described:
    """Features and percentiles of every patient's scans, good and with each fault.

    Attributes:
        features: fault to (patient, contrast, feature), NaN where a contrast was not acquired; "" is none.
        deepest: the same of the means of the deepest level alone.
        profiles: the same of percentiles.

    Args:
        network: whose encoders describe a scan.
        patients: their scans.
        faults: of :data:`FAULTS`, and :data:`WRONG`.
    """

    def __init__(
        self, network: FusionModel, patients: Sequence[Scans], faults: Sequence[str] = (*FAULTS, WRONG)
    ) -> None:
        self.faults = faults
        self.features: dict[str, Array] = {}
        self.deepest: dict[str, Array] = {}
        self.profiles: dict[str, Array] = {}
        each = [self._patient(network, row, scans) for row, scans in enumerate(patients)]
        for fault in ["", *faults]:
            for kind, into in enumerate((self.features, self.deepest, self.profiles)):
                size = max(len(told[kind]) for of in each for told in of.values())
                gone = np.full(size, np.nan)
                told_of = [[of[fault, c][kind] if (fault, c) in of else gone for c in CONTRASTS] for of in each]
                into[fault] = np.array(told_of)

    def _patient(
        self, network: FusionModel, row: int, scans: Scans
    ) -> dict[tuple[str, str], tuple[Array, Array, list[float]]]:
        mask = foreground(scans["FLAIR"])
        chance = np.random.default_rng(row)
        found = {}
        for contrast, volume in scans.items():
            given = {"": volume, **{name: FAULTS[name](volume, chance) for name in self.faults if name in FAULTS}}
            if WRONG in self.faults and IN_PLACE_OF[contrast] in scans:
                given[WRONG] = scans[IN_PLACE_OF[contrast]]
            for name, values in given.items():
                scaled = z_score(values, mask)(values)
                found[name, contrast] = *self._features(network, contrast, scaled), profile(scaled, mask)
        return found

    @staticmethod
    @torch.inference_mode()
    def _features(network: FusionModel, contrast: str, values: NDArray[np.float32]) -> tuple[Array, Array]:
        image = torch.full((1, len(network.modalities), *values.shape), torch.nan)
        m = network.modalities.index(contrast)
        image[0, m] = torch.from_numpy(values)
        cached = CachedFeatures.of(network, image)
        return cached.described()[0, m].double().numpy(), cached.pooled()[0, m].double().numpy()


class ByFeatures:
    """The distance that classifications tell typicality by."""

    def __init__(self, known: Array) -> None:
        self.fitted = FeatureDistance.fit(known, [str(k) for k in range(len(known))])

    def far(self, x: Array) -> tuple[float, float]:
        """The distance, the mean over fits, and p."""
        return float(np.mean([fit.distance(x[None])[0] for fit in self.fitted.fits])), self.fitted.p_value(x)


class ByPercentiles:
    """Standard deviations off the known percentiles, as :func:`polyscan.preprocess.profiles.distance` has them."""

    def __init__(self, known: Array) -> None:
        self.learnt = {"mean": known.mean(0).tolist(), "deviation": known.std(0, ddof=1).tolist()}
        self.known = np.array([distance(row.tolist(), self.learnt) for row in known])

    def far(self, x: Array) -> tuple[float, float]:
        """The distance, and the part of known scans that lie as far."""
        far = distance(x.tolist(), self.learnt)
        return far, (1 + int((self.known >= far).sum())) / (1 + len(self.known))


Kind = type[ByFeatures] | type[ByPercentiles]


def told(kind: Kind, of: dict[str, Array], known: NDArray[np.bool_], asked: NDArray[np.intp]) -> dict[str, Array]:
    """Fault to (patient, contrast, distance and p) of those that are asked about."""
    found = {fault: np.full((len(asked), len(CONTRASTS), 2), np.nan) for fault in of}
    for c in range(len(CONTRASTS)):
        good = of[""][:, c]
        flag = kind(good[known & np.isfinite(good[:, 0])])
        for fault, values in of.items():
            for k, row in enumerate(asked):
                if np.isfinite(values[row, c, 0]):
                    found[fault][k, c] = flag.far(values[row, c])
    return found


def share(p: Array) -> str:
    """How many of these are flagged, with Wilson's interval."""
    flagged = p[np.isfinite(p)] <= LEVEL
    within = binomtest(int(flagged.sum()), flagged.size).proportion_ci(method="wilson")
    return f"{100 * flagged.mean():.0f} % ({100 * within.low:.0f} to {100 * within.high:.0f})"


def area(good: Array, spoiled: Array, folds: NDArray[np.intp]) -> str:
    """The AUROC of distances (patient, contrast), the mean over contrasts and folds, with its interval."""

    def of_contrast(rows: NDArray[np.intp], c: int) -> float:
        scores = np.concatenate([good[rows, c], spoiled[rows, c]])
        truth = np.repeat([False, True], len(rows))
        known = np.isfinite(scores)
        return auroc(scores[known], truth[known])

    def mean(rows: NDArray[np.intp]) -> float:
        return float(np.nanmean([of_contrast(rows, c) for c in range(good.shape[1])]))

    return str(bootstrap(over_folds(mean, folds), list(range(len(folds))), n_resamples=300))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path, help="partA.npz of lgg_mri, or one of its form")
    parser.add_argument("--bundle", default="brain_mri_tumour_segmentation", help="whose encoder is asked")
    parser.add_argument("--slices", type=int, default=16, help="so many, the middle ones")
    options = parser.parse_args()
    with np.load(options.archive, allow_pickle=False) as archive:
        names = archive["patient"].tolist()
        images, available = archive["images"], archive["available"].astype(bool)
    first = (images.shape[2] - options.slices) // 2
    images = images[:, :, first : first + options.slices]
    patients = [
        {c: np.moveaxis(images[k, m].astype(float), 0, -1) for m, c in enumerate(CONTRASTS) if available[k, m]}
        for k in range(len(names))
    ]
    described = Described(StudyEncoder(options.bundle).network, patients)
    kinds: dict[str, tuple[Kind, dict[str, Array]]] = {
        "features": (ByFeatures, described.features),
        "deepest level": (ByFeatures, described.deepest),
        "intensities": (ByPercentiles, described.profiles),
    }
    everyone = np.arange(len(names))
    folds = np.random.default_rng(0).permutation(len(names)) % FOLDS
    found = {}
    for name, (kind, of) in kinds.items():
        parts = [told(kind, of, folds != k, everyone[folds == k]) for k in range(FOLDS)]
        order = np.argsort(np.concatenate([everyone[folds == k] for k in range(FOLDS)]))
        found[name] = {fault: np.concatenate([part[fault] for part in parts])[order] for fault in of}
    print("| scan | " + " | ".join(f"AUROC, {name} | flagged" for name in kinds) + " |\n|---" + "|---" * 6 + "|")
    print("| good (false alarms) | | " + " | | ".join(share(of[""][..., 1]) for of in found.values()) + " |")
    for fault in [*FAULTS, WRONG]:
        cells = [
            f"{area(of[''][..., 0], of[fault][..., 0], folds)} | {share(of[fault][..., 1])}" for of in found.values()
        ]
        print(f"| {fault} | {' | '.join(cells)} |", flush=True)
    hospital = np.array([name.split("-")[1] for name in names])
    print("\n| hospital | patients | flagged by " + " | by ".join(kinds) + " |\n|---|---|---|---|---|")
    for code in sorted(set(hospital)):
        own = hospital == code
        if own.sum() >= FEWEST:
            each = [told(kind, {"": of[""]}, ~own, np.flatnonzero(own))[""] for kind, of in kinds.values()]
            print(f"| {code} | {own.sum()} | {' | '.join(share(of[..., 1]) for of in each)} |")


if __name__ == "__main__":
    main()
