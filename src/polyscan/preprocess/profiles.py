"""How a scan's intensities are spread, and how far that lies from the scans that a network was trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from polyscan.errors import PolyscanError
from polyscan.files.atomic import read_json, write_json
from polyscan.study import Study

NAME = "profiles.json"

_PERCENTILES = (1, 5, 25, 50, 75, 95, 99)
_FAR = 3.0
_FEWEST = 3


def profile(values: np.ndarray, mask: np.ndarray) -> list[float]:
    """The 1st, 5th, 25th, 50th, 75th, 95th and 99th percentile inside a mask; empty where nothing lies there."""
    if values.flags.fnc:  # in the order of the memory
        values, mask = values.T, mask.T
    inside = values[mask & np.isfinite(values)]
    return [round(float(value), 4) for value in np.percentile(inside, _PERCENTILES)] if inside.size else []


def learn_profiles(studies: Sequence[Study]) -> dict[str, dict[str, list[float]]]:
    """Mean and standard deviation of each percentile over prepared studies.

    Returns:
        Modality to ``mean`` and ``deviation``; modalities of fewer than three studies are left out.
    """
    told = [study.preparation.profiles for study in studies if study.preparation]
    learnt = {}
    for name in sorted({name for profiles in told for name in profiles}):
        rows = np.array([profiles[name] for profiles in told if profiles.get(name)], dtype=float)
        if len(rows) >= _FEWEST:
            # A percentile that hardly varies in a small cohort is not known that well.
            least = 0.05 * np.ptp(rows.mean(0))
            deviation = np.maximum(rows.std(0, ddof=1), least)
            learnt[name] = {"mean": rows.mean(0).round(4).tolist(), "deviation": deviation.round(4).tolist()}
    return learnt


def save_profiles(studies: Sequence[Study], folder: str | Path) -> None:
    """Write what :func:`learn_profiles` finds beside a network's weights; nothing where the studies tell nothing."""
    learnt = learn_profiles(studies)
    if learnt:
        write_json(Path(folder) / NAME, learnt)


def load_profiles(folder: str | Path) -> dict[str, dict[str, list[float]]]:
    """Read the profiles of a bundle (``models/profiles.json``) or of the folder that training wrote.

    Raises:
        PolyscanError: it has none, or they cannot be used.
    """
    found = [path for path in (Path(folder) / NAME, Path(folder) / "models" / NAME) if path.is_file()]
    if not found:
        raise PolyscanError(f"{folder} has no {NAME}, which polyscan train writes; name a bundle or a folder with one.")
    content = read_json(found[0])
    for learnt in content.values() if isinstance(content, dict) else [None]:
        if not isinstance(learnt, dict) or {len(learnt.get(k, ())) for k in ("mean", "deviation")} != {
            len(_PERCENTILES)
        }:
            raise PolyscanError(f"{found[0]} holds no profiles; train again to write it.")
    return dict(content)


def distance(found: Sequence[float], learnt: Mapping[str, Sequence[float]]) -> float:
    """The root mean square over the percentiles of how many standard deviations a profile lies off the cohort's."""
    off = (np.array(found) - np.array(learnt["mean"])) / np.array(learnt["deviation"])
    return float(np.sqrt((off**2).mean()))


def out_of_distribution(
    found: Mapping[str, Sequence[float]], learnt: Mapping[str, Mapping[str, Sequence[float]]]
) -> dict[str, str]:
    """A sentence for each modality whose profile lies more than 3 standard deviations off."""
    told = {}
    for name, percentiles in found.items():
        if name in learnt and percentiles:
            far = distance(percentiles, learnt[name])
            if far > _FAR:
                told[name] = f"its intensities lie {far:.1f} standard deviations from those of the training scans"
    return told
