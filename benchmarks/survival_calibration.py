"""Whether chances to live are true: of thirds of the patients by risk, what they were told and how many lived.

    python benchmarks/cross_validate.py glioma_survival tcga/manifest.json cv/
    python benchmarks/cross_validate.py glioma_survival tcga/manifest.json cv/ --without expression
    python benchmarks/survival_calibration.py cv/all/manifest.json cv/without-expression/manifest.json --month 36

Each manifest holds answers to patients whom the network had not seen. Told is the mean of the chances, lived is Kaplan
and Meier's estimate (JASA 1958), which takes those into account who were followed for less.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from scipy.stats import CensoredData, ecdf

from polyscan.study.manifest import read_manifest


def thirds(manifest: Path, month: float) -> list[tuple[float, float]]:
    """What each third of the patients was told, from the lowest risk to the highest, and how many of them lived.

    Args:
        manifest: of answers to patients of whom it is known how long they lived, or were followed.
        month: whose chance the network tells.
    """
    studies = [study for study in read_manifest(manifest).tested if study.prediction]
    answers = [study.prediction.answers["survival"] for study in studies]
    told = np.array([answer.survival[f"{month:g}"][0] for answer in answers])
    time, died = np.array([(answer.truth["time"], answer.truth["event"]) for answer in answers]).T
    return [
        (float(told[third].mean()), float(kaplan_meier(time[third], died[third] > 0).evaluate(month)))
        for third in np.array_split(np.argsort(-told), 3)
    ]


def kaplan_meier(time: np.ndarray, died: np.ndarray):
    """The survival function of (patient,) times, right-censored where the patient did not die."""
    return ecdf(CensoredData(uncensored=time[died], right=time[~died])).sf


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifests", type=Path, nargs="+")
    parser.add_argument("--month", type=float, default=36)
    options = parser.parse_args()
    for manifest in options.manifests:
        print(f"{manifest}, {options.month:g} months: told and lived, percent")
        for told, lived in thirds(manifest, options.month):
            print(f"  {100 * told:3.0f}  {100 * lived:3.0f}")


if __name__ == "__main__":
    main()
