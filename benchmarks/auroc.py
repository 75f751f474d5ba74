"""How well a classification told the classes apart, from what ``polyscan infer`` wrote.

    python benchmarks/auroc.py OUT/ [OUT_2/ ...]

For each folder and task: how many studies have a known truth, the share answered rightly, the share that is right when
the most frequent class is always said, each class's area under the ROC curve against the others with a 95 % interval
(1,000 bootstrap samples of the studies), and the mean contribution of each modality.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import numpy as np

from polyscan.evaluation import auroc, bootstrap
from polyscan.study import TaskPrediction
from polyscan.study.manifest import read_manifest


def main(folders: list[str]) -> None:
    """Print a block a folder."""
    for folder in folders:
        studies = read_manifest(Path(folder) / "manifest.json").studies
        print(folder)
        predictions = [study.prediction for study in studies]
        for task in dict.fromkeys(task for found in predictions for task in found.answers):
            answers = [found.answers[task] for found in predictions if task in found.answers]
            known = [a for a in answers if a.truth is not None and a.probabilities]
            if known:
                tell(task, known)


def tell(task: str, known: list[TaskPrediction]) -> None:
    truth = np.array([a.truth for a in known])
    right = np.mean([a.predicted_class == a.truth for a in known])
    ((_, most),) = Counter(truth).most_common(1)
    print(f"  {task}: {len(known)} known, right {right:.3f}, the most frequent class alone {most / len(known):.3f}")
    for name in known[0].probabilities:
        scores = np.array([a.probabilities[name] for a in known])
        if 0 < (truth == name).sum() < len(truth):
            found = bootstrap(lambda rows, s=scores, y=truth == name: auroc(s[rows], y[rows]), range(len(known)))
            print(f"    {name} ({(truth == name).sum()}): AUROC {found}")
    players = dict.fromkeys(p for a in known for p in a.contributions)
    means = {p: np.mean([a.contributions[p] for a in known if p in a.contributions]) for p in players}
    print("    contributions: " + ", ".join(f"{p} {mean:+.3f}" for p, mean in means.items()))


if __name__ == "__main__":
    main(sys.argv[1:])
