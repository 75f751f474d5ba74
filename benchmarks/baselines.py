"""What simple models make of a cohort, on the folds of its manifest: one table for each thing that is to be learnt.

    python benchmarks/cohorts.py picai_tables_glands marksheet_A.csv picai/
    python benchmarks/baselines.py picai/manifest.json [--answers out/manifest.json]

Classes: logistic regression. Survival: ridge Cox. Both on every subset of the tables (the clinical variables are one),
with medians and indicators in the place of what was not recorded, and the strength of the penalty chosen by three folds
inside the training studies. Masks: for each scan the threshold that is best on the training studies. Scores are means
over folds with 95 % intervals of patients drawn again; the last columns compare with ``--reference``, or with the best
single table or scan: the paired difference over the same draws, and the p value of Nadeau and Bengio's corrected
resampled t test over folds.

``--held-out`` names the subjects that weights have not seen, or a manifest of them: they are scored, by models of all
others.
``--answers`` adds what ``polyscan infer`` wrote, for the same studies, each answered by a network that has not seen it.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np
from command import run
from ridge_cox import RidgeCox
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, KFold, StratifiedKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from polyscan.errors import PolyscanError
from polyscan.evaluation import (
    auroc,
    bootstrap_scores,
    concordance_index,
    corrected_difference,
    over_folds,
    percentile_interval,
)
from polyscan.evaluation.statistics import Score
from polyscan.files.atomic import read_json
from polyscan.formats.nifti import read_nifti
from polyscan.study import PredictionRecord, Study
from polyscan.study.manifest import read_manifest

STRENGTHS = {"logisticregression__C": [0.001, 0.01, 0.1, 1.0], "ridgecox__alpha": [0.01, 0.1, 1.0, 10.0]}
THRESHOLDS = 40
NETWORK = "polyscan"


class Task:
    """One thing that is to be learnt, of the studies for which it is known.

    Args:
        name: under ``label`` in the manifest.
        studies: of the manifest.

    Attributes:
        scored: (study,) bool: whom scores are of; models learn from the others too.
    """

    def __init__(self, name: str, studies: Sequence[Study]) -> None:
        self.name = name
        self.studies = [s for s in studies if s.label.holds(name) and s.fold is not None]
        self.scored = np.ones(len(self.studies), dtype=bool)
        self.folds = np.array([s.fold for s in self.studies])
        self.patients = [s.subject for s in self.studies]

    @property
    def known(self) -> bool:
        """Whether enough is known to learn and to test on every fold."""
        return len(np.unique(self.folds)) > 1

    def hold_out(self, subjects: Sequence[str]) -> None:
        """Score these subjects only, by models of all others."""
        self.scored = np.isin(self.patients, subjects)
        self.folds = self.scored.astype(int)

    def score(self, answers: np.ndarray, rows: np.ndarray) -> float:
        """How good the answers for some rows are."""
        raise NotImplementedError

    def of_network(self, prediction: PredictionRecord) -> list[float] | float | None:
        """The answer that ``polyscan infer`` wrote; None where it has none to this."""
        raise NotImplementedError

    def fold_scores(self, answers: np.ndarray) -> np.ndarray:
        """(fold,) scores."""
        rows = (np.flatnonzero((self.folds == fold) & self.scored) for fold in np.unique(self.folds[self.scored]))
        return np.array([self.score(answers, of_fold) for of_fold in rows])


class Classes(Task):
    """A class of each study: AUROC, for more than two classes the mean of each that is there against the others."""

    measure, method = "AUROC", "logistic regression"

    def __init__(self, name: str, studies: Sequence[Study]) -> None:
        super().__init__(name, studies)
        self.classes = sorted({str(s.label.tasks[name]) for s in self.studies})
        self.truth = np.array([self.classes.index(str(s.label.tasks[name])) for s in self.studies])
        self.inner = StratifiedKFold(3, shuffle=True, random_state=0)

    @property
    def known(self) -> bool:
        """See :class:`Task`."""
        return super().known and len(self.classes) > 1

    def model(self) -> tuple[Pipeline, str]:
        """What is fitted, and how its choices are scored."""
        model = make_pipeline(*prepared(), LogisticRegression(max_iter=500))
        return model, "roc_auc_ovr" if len(self.classes) > 2 else "roc_auc"

    def answer(self, model: GridSearchCV, x: np.ndarray) -> np.ndarray:
        """(study, class) probabilities."""
        return model.predict_proba(x)

    def score(self, answers: np.ndarray, rows: np.ndarray) -> float:
        """See :class:`Task`."""
        columns = [1] if len(self.classes) == 2 else range(len(self.classes))
        each = np.array([auroc(answers[rows, k], self.truth[rows] == k) for k in columns])
        known = each[np.isfinite(each)]
        return float(known.mean()) if known.size else float("nan")

    def of_network(self, prediction: PredictionRecord) -> list[float] | None:
        """See :class:`Task`; the network may know fewer classes."""
        told = prediction.answers.get(self.name)
        return [told.probabilities.get(name, 0.0) for name in self.classes] if told else None


class Diagnoses(Classes):
    """A class of each study: how many are told right."""

    measure = "accuracy"

    def score(self, answers: np.ndarray, rows: np.ndarray) -> float:
        """See :class:`Task`."""
        return float((answers[rows].argmax(1) == self.truth[rows]).mean())


class Survival(Task):
    """Time and event: Harrell's c."""

    measure, method = "c", "ridge Cox"

    def __init__(self, name: str, studies: Sequence[Study]) -> None:
        super().__init__(name, studies)
        self.truth = np.array([[s.label.tasks[name]["time"], s.label.tasks[name]["event"]] for s in self.studies])
        self.inner = KFold(3, shuffle=True, random_state=0)

    @property
    def known(self) -> bool:
        """See :class:`Task`."""
        return super().known and self.truth[:, 1].sum() >= 10

    def model(self) -> tuple[Pipeline, None]:
        """What is fitted; it scores its choices itself."""
        return make_pipeline(*prepared(), RidgeCox()), None

    def answer(self, model: GridSearchCV, x: np.ndarray) -> np.ndarray:
        """(study,) log risks."""
        return model.predict(x)

    def score(self, answers: np.ndarray, rows: np.ndarray) -> float:
        """See :class:`Task`."""
        return concordance_index(answers[rows], *self.truth[rows].T)

    def of_network(self, prediction: PredictionRecord) -> float | None:
        """See :class:`Task`."""
        told = prediction.answers.get(self.name)
        return float(told.risk) if told else None


class Masks(Task):
    """A mask of each study: Dice of all of its regions as one. Answers are the Dice of each study."""

    measure = "Dice"

    def score(self, answers: np.ndarray, rows: np.ndarray) -> float:
        """See :class:`Task`."""
        known = answers[rows][np.isfinite(answers[rows])]
        return float(known.mean()) if known.size else float("nan")

    def of_network(self, prediction: PredictionRecord) -> float | None:
        """See :class:`Task`; the mean over regions of what ``polyscan infer`` scored, where it knew the mask."""
        scores = [region.dice for region in prediction.scores.values() if region.dice is not None]
        return float(np.mean(scores)) if scores else None


def prepared() -> list:
    """What stands before a linear model; learnt from training studies only."""
    return [SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler()]


def tables(studies: Sequence[Study]) -> dict[str, np.ndarray]:
    """Each table as (study, column), NaN where not recorded, with a column for each way in which some is missing."""
    rows: dict[str, list[Mapping]] = {"clinical": [s.clinical for s in studies]}
    for name in sorted({m for s in studies for m, one in s.scans.items() if one.path.endswith(".json")}):
        rows[name] = [read_json(s.scans[name].path) if name in s.scans else {} for s in studies]
    found = {name: matrix(of_table) for name, of_table in rows.items()}
    return {name: values for name, values in found.items() if values.shape[1]}


def matrix(rows: Sequence[Mapping]) -> np.ndarray:
    """Numbers as they are, words as a column each, then what is missing."""
    columns = []
    for name in sorted({column for row in rows for column in row}):
        values = [row.get(name) for row in rows]
        if any(isinstance(value, str) for value in values):
            words = sorted({str(value) for value in values if value is not None})
            columns += [[np.nan if v is None else float(str(v) == word) for v in values] for word in words]
        else:
            columns.append([np.nan if v is None else float(v) for v in values])
    numbers = np.array(columns, dtype=float).reshape(len(columns), len(rows)).T
    missing = np.unique(np.isnan(numbers), axis=1)
    return np.concatenate([numbers, missing[:, missing.any(0) & ~missing.all(0)]], axis=1)


def cross_validated(task: Classes | Survival, x: np.ndarray) -> np.ndarray:
    """Each study's answer by the model of the other folds."""
    answers = None
    for fold in np.unique(task.folds[task.scored]):
        train, test = task.folds != fold, task.folds == fold
        model, scoring = task.model()
        grid = {name: values for name, values in STRENGTHS.items() if name.split("__")[0] in model.named_steps}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a table of one value has no variance
            fitted = GridSearchCV(model, grid, scoring=scoring, cv=task.inner).fit(x[train], task.truth[train])
            found = task.answer(fitted, x[test])
        answers = np.full((len(x), *found.shape[1:]), np.nan) if answers is None else answers
        answers[test] = found
    return answers


def thresholded(task: Masks, modality: str) -> np.ndarray:
    """Dice of each study, at the threshold that is best on the studies of the other folds; NaN without the scan."""
    scans: list[tuple[np.ndarray, np.ndarray] | None] = []
    for study in task.studies:
        if modality not in study.scans:
            scans.append(None)
            continue
        values, mask = (read_nifti(f)[0].numpy() for f in (study.scans[modality].path, study.label.mask))
        scans.append((values, mask > 0))
    levels = np.quantile(np.concatenate([v[m] for v, m in filter(None, scans)]), np.linspace(0, 0.99, THRESHOLDS))
    dice = np.array([of_levels(*scan, levels) if scan else np.full(THRESHOLDS, np.nan) for scan in scans])
    answers = np.full(len(dice), np.nan)
    for fold in np.unique(task.folds[task.scored]):
        best = int(np.nanmean(dice[task.folds != fold], axis=0).argmax())
        answers[task.folds == fold] = dice[task.folds == fold, best]
    return answers


def of_levels(values: np.ndarray, mask: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Dice of what is above each level, by counting in sorted values."""
    inside, everywhere = np.sort(values[mask & np.isfinite(values)]), np.sort(values[np.isfinite(values)])
    both = len(inside) - np.searchsorted(inside, levels)
    found = len(everywhere) - np.searchsorted(everywhere, levels)
    return 2 * both / (found + mask.sum())


def rows_of(task: Task, wanted: Sequence[str] = ()) -> dict[tuple[str, str], np.ndarray]:
    """Method and inputs to the answers, single inputs first; of ``wanted`` inputs only, where some are."""
    if isinstance(task, Masks):
        scans = list(dict.fromkeys(m for s in task.studies for m, one in s.scans.items() if "nii" in one.path))
        return {("threshold", name): thresholded(task, name) for name in scans if not wanted or name in wanted}
    found = tables(task.studies)
    subsets = [subset for size in range(1, len(found) + 1) for subset in combinations(found, size)]
    return {
        (task.method, " + ".join(subset)): cross_validated(task, np.concatenate([found[t] for t in subset], axis=1))
        for subset in subsets
        if not wanted or " + ".join(subset) in wanted
    }


def from_network(task: Task, path: Path) -> np.ndarray:
    """What ``polyscan infer`` answered for the task's studies; scored are those that it answered for.

    Raises:
        PolyscanError: it answered for none.
    """
    predicted = {study.key: study.prediction for study in read_manifest(path).studies if study.prediction is not None}
    told = {key: answer for key, each in predicted.items() if (answer := task.of_network(each)) is not None}
    answered = np.array([study.key in told for study in task.studies])
    if not answered.any():
        raise PolyscanError(
            f"{path} holds no answer of {task.name} for any of these studies; give one that does, or other tasks by "
            "--task. A mask is scored by polyscan infer, where the manifest that it is given has the true one."
        )
    task.scored &= answered
    nothing = np.full(np.shape(next(iter(told.values()))), np.nan)
    return np.array([told.get(study.key, nothing) for study in task.studies], dtype=float)


def print_table(
    task: Task, answers: Mapping[tuple[str, str], np.ndarray], samples: int, reference: str | None = None
) -> None:
    """Print one task's table; ``reference`` names the inputs of the row that all are compared with."""
    rows = np.flatnonzero(task.scored)
    patients = [task.patients[k] for k in rows]
    scores = {row: scored(task, found, rows) for row, found in answers.items()}
    value = {row: score(np.arange(len(rows))) for row, score in scores.items()}
    simple = [row for row in answers if row[0] != NETWORK]
    named = [row for row in answers if row[1] == reference]
    single = [row for row in simple if "+" not in row[1]]
    best = named[0] if named else max(single or answers, key=lambda row: value[row])
    compared = bootstrap_scores(scores[best], patients, n_resamples=samples)
    print(f"\n{task.name}: {len(rows)} studies of {len(set(patients))} patients\n")
    print(f"| method | inputs | {task.measure} | minus {best[1]} | p |\n|---|---|---|---|---|")
    for row in answers:
        drawn = compared if row == best else bootstrap_scores(scores[row], patients, n_resamples=samples)
        cells = [*row, str(percentile_interval(value[row], drawn)), "", ""]
        if row != best:
            gain = percentile_interval(value[row] - value[best], drawn - compared)
            folds = [task.fold_scores(answers[r]) for r in (row, best)]
            cells[3] = f"{gain.value:+.3f} ({gain.low:+.3f} to {gain.high:+.3f})"
            if len(folds[0]) > 1:
                cells[4] = f"{corrected_difference(*folds, 1 / len(np.unique(task.folds)))[1]:.3f}"
        print(f"| {' | '.join(cells)} |", flush=True)


def scored(task: Task, answers: np.ndarray, rows: np.ndarray) -> Score:
    """The mean over folds of a task's score, of studies that are counted among ``rows``."""
    mean = over_folds(partial(task.score, answers), task.folds)
    return lambda drawn: mean(rows[drawn])


def tasks_of(studies: Sequence[Study], classes: type[Classes] = Classes) -> list[Task]:
    """What is to be learnt of these studies, where enough is known of it; how classes are scored may be named."""
    names = dict.fromkeys(name for s in studies for name in ("mask", *s.label.tasks) if s.label.holds(name))
    made: list[Task] = []
    for name in names:
        values = [s.label.tasks.get(name) for s in studies if s.label.holds(name)]
        kind = Masks if name == "mask" else Survival if isinstance(values[0], Mapping) else classes
        made.append(kind(name, studies))
    return [task for task in made if len(task.studies) and task.known]


def subjects_of(named: Sequence[str]) -> list[str]:
    """Subjects by their names, and those of manifests by their files."""
    found = ([s.subject for s in read_manifest(n).studies] if n.endswith(".json") else [n] for n in named)
    return [subject for each in found for subject in each]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path, help="one that benchmarks/cohorts.py wrote")
    parser.add_argument("--task", nargs="+", help="only these")
    parser.add_argument("--answers", type=Path, nargs="+", default=[], help="manifests that polyscan infer wrote")
    parser.add_argument("--measure", choices=["AUROC", "accuracy"], default="AUROC", help="of classes (AUROC)")
    parser.add_argument("--inputs", nargs="+", default=[], help="only these subsets, as 'clinical + copy_number'")
    some = parser.add_mutually_exclusive_group()
    some.add_argument("--without", metavar="NAME=VALUE", help="score all but these, such as histology=GBM")
    some.add_argument(
        "--held-out",
        nargs="+",
        metavar="SUBJECT",
        help="score these, or those of a manifest, only, by models of all others, instead of folds",
    )
    some.add_argument("--only", metavar="NAME=VALUE", help="score these only, such as centre=PCNN")
    parser.add_argument(
        "--reference", metavar="INPUTS", help="compare with the row of these; the best single ones if not given"
    )
    parser.add_argument("--samples", type=int, default=1000, help="cohorts drawn for an interval (1000)")
    options = parser.parse_args()
    classes = Diagnoses if options.measure == "accuracy" else Classes
    found = tasks_of(read_manifest(options.manifest).studies, classes)
    tasks = [task for task in found if not options.task or task.name in options.task]
    if not tasks:
        raise PolyscanError(f"{options.manifest} tells of no task enough to learn and to test on two folds.")
    for task in tasks:
        if options.without or options.only:
            name, _, value = (options.without or options.only).partition("=")
            told = (s.centre if name == "centre" else s.clinical.get(name) for s in task.studies)
            task.scored = np.array([(str(one) == value) == bool(options.only) for one in told])
        if options.held_out:
            task.hold_out(subjects_of(options.held_out))
        if not task.scored.any():
            raise PolyscanError(f"None of the studies to be scored has a label {task.name}; give another --task.")
        networks = {(NETWORK, path.parent.name): from_network(task, path) for path in options.answers}
        print_table(task, rows_of(task, options.inputs) | networks, options.samples, options.reference)


if __name__ == "__main__":
    run(main)
