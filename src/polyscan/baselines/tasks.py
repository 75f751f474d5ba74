"""What is told of studies, by a network or a simple model, and how it is scored: classes, survival, masks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, KFold, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from polyscan.baselines.ridge_cox import RidgeCox
from polyscan.evaluation import concordance_index, over_folds
from polyscan.evaluation.statistics import Score, known_mean, macro_auroc
from polyscan.study import PredictionRecord, Study

_FEWEST_EVENTS = 10
_INNER = 3  # folds inside the training studies

Array = NDArray[Any]


class Task(ABC):
    """One thing that is to be told, of the studies of which it is known.

    Args:
        name: under ``label`` in the manifest, or ``mask``.
        studies: of the manifest; those without a fold are in one by themselves.
        learnt: further ones, which models learn from instead, and of which none is scored.

    Attributes:
        measure: what its score is called.
        scored: (study,) bool: of whom scores are.
        learns: (study,) bool: whom models learn from.
        folds: (study,) int; models answer for a study that have learnt from those of other folds; below 0 where it has
            none.
    """

    measure: str
    method = ""

    def __init__(self, name: str, studies: Sequence[Study], learnt: Sequence[Study] | None = None) -> None:
        self.name = name
        scored, others = ([study for study in some if study.label.holds(name)] for some in (studies, learnt or ()))
        self.studies = [*scored, *others]
        self.scored = np.arange(len(self.studies)) < len(scored)
        self.learns = np.ones(len(self.studies), dtype=bool) if learnt is None else ~self.scored
        self.folds = np.array([-1 if study.fold is None else study.fold for study in self.studies])
        self.patients = [study.subject for study in self.studies]

    @property
    def learnable(self) -> bool:
        """Whether enough is known to learn and to test on other studies."""
        return all(self.others(fold).any() for fold in np.unique(self.folds[self.scored]))

    def others(self, fold: int) -> Array:
        """(study,) bool: whom the models learn from that answer for a fold."""
        return self.learns & (self.folds != fold)

    @abstractmethod
    def score(self, answers: Array, rows: Array) -> float:
        """How good the answers for some rows are; NaN where that cannot be told."""

    @abstractmethod
    def of_network(self, prediction: PredictionRecord) -> list[float] | float | None:
        """The answer that ``polyscan infer`` wrote; None where it has none to this."""

    def fold_scores(self, answers: Array) -> Array:
        """(fold,) scores."""
        rows = (np.flatnonzero((self.folds == fold) & self.scored) for fold in np.unique(self.folds[self.scored]))
        return np.array([self.score(answers, of_fold) for of_fold in rows])

    def score_of(self, answers: Array) -> Score:
        """The mean score over folds, of studies that are counted among those that are scored."""
        rows = np.flatnonzero(self.scored)
        mean = over_folds(partial(self.score, answers), self.folds)
        return lambda drawn: mean(rows[drawn])


class TableTask(Task):
    """What a linear model can tell from tables.

    Attributes:
        truth: (study, ...) what it learns.
    """

    truth: Array

    @abstractmethod
    def model(self) -> GridSearchCV:
        """What is fitted: a linear model whose penalty is chosen by folds inside its training studies."""

    @abstractmethod
    def told(self, model: Any, x: Array) -> Array:
        """(study, ...) answers of a fitted model."""


class Classes(TableTask):
    """A class of each study: AUROC, for more than two classes the mean of each that is there against the others."""

    measure, method = "AUROC", "logistic regression"

    def __init__(self, name: str, studies: Sequence[Study], learnt: Sequence[Study] | None = None) -> None:
        super().__init__(name, studies, learnt)
        self.classes = sorted({str(study.label.tasks[name]) for study in self.studies})
        self.truth = np.array([self.classes.index(str(study.label.tasks[name])) for study in self.studies])

    @property
    def learnable(self) -> bool:
        """See :class:`Task`; of two classes there are enough for the folds by which a penalty is chosen."""
        counts = (np.bincount(self.truth[self.others(fold)]) for fold in np.unique(self.folds[self.scored]))
        return super().learnable and all((count >= _INNER).sum() > 1 for count in counts)

    def model(self) -> GridSearchCV:
        return logistic(*_prepared())

    def told(self, model: Any, x: Array) -> Array:
        """(study, class) probabilities; 0 of a class that it has not seen."""
        found = np.zeros((len(x), len(self.classes)))
        found[:, model.classes_] = model.predict_proba(x)
        return found

    def score(self, answers: Array, rows: Array) -> float:
        return macro_auroc(answers[rows], self.truth[rows])

    def of_network(self, prediction: PredictionRecord) -> list[float] | None:
        """See :class:`Task`; the network may know fewer classes."""
        found = prediction.answers.get(self.name)
        return [found.probabilities.get(name, 0.0) for name in self.classes] if found else None


class Diagnoses(Classes):
    """A class of each study: how many are told right."""

    measure = "accuracy"

    def score(self, answers: Array, rows: Array) -> float:
        return float((answers[rows].argmax(1) == self.truth[rows]).mean()) if len(rows) else float("nan")


class Survival(TableTask):
    """Time and event: Harrell's c."""

    measure, method = "c", "ridge Cox"

    def __init__(self, name: str, studies: Sequence[Study], learnt: Sequence[Study] | None = None) -> None:
        super().__init__(name, studies, learnt)
        told = [study.label.tasks[name] for study in self.studies]
        self.truth = np.array([[each["time"], each["event"]] for each in told]).reshape(-1, 2)

    @property
    def learnable(self) -> bool:
        return super().learnable and self.truth[:, 1].sum() >= _FEWEST_EVENTS

    def model(self) -> GridSearchCV:
        """See :class:`TableTask`; choices are scored by c."""
        strengths = {"ridgecox__alpha": [0.01, 0.1, 1.0, 10.0]}
        inner = KFold(_INNER, shuffle=True, random_state=0)
        return GridSearchCV(make_pipeline(*_prepared(), RidgeCox()), strengths, cv=inner)

    def told(self, model: Any, x: Array) -> Array:
        """(study,) log risks."""
        return model.predict(x)

    def score(self, answers: Array, rows: Array) -> float:
        return concordance_index(answers[rows], *self.truth[rows].T)

    def of_network(self, prediction: PredictionRecord) -> float | None:
        found = prediction.answers.get(self.name)
        return found.risk if found else None


class Masks(Task):
    """A mask of each study: Dice of all of its regions as one. Answers are the Dice of each study."""

    measure = "Dice"

    def score(self, answers: Array, rows: Array) -> float:
        return known_mean(answers[rows])

    def of_network(self, prediction: PredictionRecord) -> float | None:
        """See :class:`Task`; the mean over regions of what ``polyscan infer`` scored, where it knew the mask."""
        scores = [region.dice for region in prediction.scores.values() if region.dice is not None]
        return float(np.mean(scores)) if scores else None


def tasks_of(studies: Sequence[Study], learnt: Sequence[Study] | None = None, *, accuracy: bool = False) -> list[Task]:
    """What is known of these studies.

    Args:
        studies: with labels.
        learnt: see :class:`Task`.
        accuracy: score classes by how many are told right instead of by AUROC.
    """
    every = [*studies, *(learnt or ())]
    names = dict.fromkeys(name for s in every for name in ("mask", *s.label.tasks) if s.label.holds(name))
    made: list[Task] = []
    for name in names:
        value = next(s.label.tasks.get(name) for s in every if s.label.holds(name))
        of_table = Survival if isinstance(value, Mapping) else Diagnoses if accuracy else Classes
        made.append((Masks if name == "mask" else of_table)(name, studies, learnt))
    return made


def logistic(*before: Any) -> GridSearchCV:
    """A logistic regression behind some steps, with the penalty by which the log loss on held-out thirds is least.

    The log loss tells penalties apart, and right probabilities from wrong ones, where AUROC is the same by all of them.
    """
    strengths = {"logisticregression__C": [0.001, 0.01, 0.1, 1.0]}
    inner = StratifiedKFold(_INNER, shuffle=True, random_state=0)
    model = make_pipeline(*before, LogisticRegression(max_iter=1000))
    return GridSearchCV(model, strengths, scoring="neg_log_loss", cv=inner)


def _prepared() -> list[Any]:
    """What stands before a linear model; learnt from training studies only."""
    return [SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler()]
