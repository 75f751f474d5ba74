"""Whether canonical variates of images and genes tell IDH better than both side by side, on patients.

    python benchmarks/canonical.py partA.npz clinical_A.csv genes_A.csv [--bundle brain_mri_tumour_segmentation]

Reads the files of ``lgg_mri``. Of the images there are the pooled features of a bundle's encoder, the mean over the
contrasts that a patient has; of the genes the expression of 120. Each is brought to ten principal components, then a
logistic regression reads the images alone, the genes alone, both side by side, ten principal components of both, or
four canonical variates (:class:`polyscan.ensemble.CanonicalProjection` of ridge CCA). Everything, the components and
the projections too, is fitted on the training folds of the five; the numbers were fixed beforehand. Two networks read
the same components, an encoder of vectors a view, joined by ``Concatenation`` or by ``CanonicalCorrelation``, whose
projections are trained with them by the supervised loss and the correlation; the mean of five trainings each.

A row a method: AUROC, the mean over folds with its 95 % interval over patients, and the difference from both side by
side over folds, with p (Nadeau and Bengio).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from atypical_scans import CONTRASTS, Described, Scans
from cca_zoo.linear import RidgeCCA
from cohorts import find
from numpy.typing import NDArray
from parts.part import Part
from sklearn.decomposition import PCA
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from polyscan.bundle.encoder import StudyEncoder
from polyscan.bundle.folds import deal_folds
from polyscan.ensemble import CanonicalProjection
from polyscan.evaluation.statistics import auroc, bootstrap, corrected_difference, over_folds
from polyscan.fusion import CanonicalCorrelation, Concatenation
from polyscan.fusion.base import MakeFusion
from polyscan.learning import MulticlassLoss, OneHotTasks, WithAuxiliaryLosses
from polyscan.networks import FusionNet, MulticlassHead, VectorEncoder

TASK, FOLDS = "IDH", 5
COMPONENTS, VARIATES, SHRINKAGE = 10, 4, 0.1
STEPS, TRAININGS = 200, 5
Array = NDArray[np.float64]
Reduce = Callable[[Array, Array], tuple[Array, Array]]
"""Training and testing views (study, view, component) to what the regression reads of them."""
Model = Callable[[Array, NDArray[np.int64], Array], Array]
"""Training views, their classes and testing views to the probability of the second class, (study,)."""


def view(m: int) -> Reduce:
    """One view alone."""
    return lambda train, test: (train[:, m], test[:, m])


def side_by_side(train: Array, test: Array) -> tuple[Array, Array]:
    """Both views."""
    return train.reshape(len(train), -1), test.reshape(len(test), -1)


def principal(train: Array, test: Array) -> tuple[Array, Array]:
    """Principal components of both views."""
    a, b = side_by_side(train, test)
    fitted = PCA(COMPONENTS, random_state=0).fit(a)
    return fitted.transform(a), fitted.transform(b)


def canonical(train: Array, test: Array) -> tuple[Array, Array]:
    """Canonical variates, the mean over views."""
    fitted = CanonicalProjection(RidgeCCA(n_components=VARIATES, shrinkage=SHRINKAGE)).fit(train)
    return fitted.transform(train), fitted.transform(test)


def reduced(train: Array, test: Array) -> tuple[Array, Array]:
    """One view by its principal components, each with variance 1 on the training studies."""
    fitted = make_pipeline(SimpleImputer(), StandardScaler(), PCA(COMPONENTS, whiten=True, random_state=0)).fit(train)
    return fitted.transform(train), fitted.transform(test)


def regression(reduce: Reduce) -> Model:
    """Logistic regression on what is left of the views."""

    def answer(train: Array, truth: NDArray[np.int64], test: Array) -> Array:
        a, b = reduce(train, test)
        model = GridSearchCV(
            make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
            {"logisticregression__C": [1e-3, 1e-2, 1e-1, 1.0]},
            cv=3,
            scoring="neg_log_loss",
        ).fit(a, truth)
        return np.asarray(model.predict_proba(b)[:, 1])

    return answer


def network(fusion: MakeFusion) -> Model:
    """A network of both views, all studies in one batch."""

    def answer(train: Array, truth: NDArray[np.int64], test: Array) -> Array:
        image, unseen = (torch.as_tensor(x, dtype=torch.float32) for x in (train, test))
        target, tasks = torch.as_tensor(truth, dtype=torch.float32)[:, None], {TASK: ["0", "1"]}
        told = []
        for seed in range(TRAININGS):
            torch.manual_seed(seed)
            encoder = partial(VectorEncoder, size=train.shape[2], channels=(8,), dropout=0.3)
            head = partial(MulticlassHead, tasks=tasks, dropout=0.3)
            net = FusionNet(["images", "genes"], encoder, [0], fusion, head, spatial_dims=1)
            loss, step = MulticlassLoss(tasks), WithAuxiliaryLosses(net, OneHotTasks(tasks)).train()
            optimizer = torch.optim.AdamW(net.parameters(), lr=0.01, weight_decay=0.1)
            for _ in range(STEPS):
                optimizer.zero_grad()
                logits, more = step(image, target)
                torch.stack([loss(logits, target), *more.values()]).sum().backward()
                optimizer.step()
            with torch.inference_mode():
                told.append(net.eval()(unseen).softmax(1)[:, 1].numpy())
        return np.asarray(np.mean(told, axis=0), dtype=np.float64)

    return answer


def answers(views: tuple[Array, Array], truth: NDArray[np.int64], folds: NDArray[np.intp], model: Model) -> Array:
    """The probability of each study by a model of the other folds, (study,)."""
    told = np.zeros(len(truth))
    for fold in np.unique(folds):
        train, test = folds != fold, folds == fold
        each = [reduced(x[train], x[test]) for x in views]
        a, b = (np.stack([of[k] for of in each], axis=1) for k in (0, 1))
        told[test] = model(a, truth[train], b)
    return told


METHODS: dict[str, Model] = {
    "side by side": regression(side_by_side),
    "images alone": regression(view(0)),
    "genes alone": regression(view(1)),
    "principal components of both": regression(principal),
    "canonical variates": regression(canonical),
    "network, Concatenation": network(Concatenation),
    "network, CanonicalCorrelation": network(CanonicalCorrelation),
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help="the files of lgg_mri")
    parser.add_argument("--bundle", default="brain_mri_tumour_segmentation", help="whose encoder reads the images")
    options = parser.parse_args()
    cohort = find("lgg_mri")
    every = [cohort.keep(patient, [TASK], []) for patient in cohort.patients(Part(options.files))]
    patients = [p for p in every if TASK in p.study.label.tasks and "expression" in p.tables]
    scans: list[Scans] = [
        {c: np.moveaxis(p.volumes[c].astype(float), 0, -1) for c in CONTRASTS if c in p.volumes} for p in patients
    ]
    features = Described(StudyEncoder(options.bundle).network, scans, faults=()).features[""]
    genes = sorted({name for p in patients for name in p.tables["expression"]})
    expression = np.array([[p.tables["expression"].get(name, np.nan) for name in genes] for p in patients])
    views = np.nanmean(features, axis=1), expression
    classes = sorted({str(p.study.label.tasks[TASK]) for p in patients})
    truth = np.array([classes.index(str(p.study.label.tasks[TASK])) for p in patients])
    folds = np.array(deal_folds([p.study.subject for p in patients], [str(t) for t in truth], FOLDS))
    told = {name: answers(views, truth, folds, model) for name, model in METHODS.items()}

    def of_fold(name: str, fold: int) -> float:
        return auroc(told[name][folds == fold], truth[folds == fold] == 1)

    print(f"{len(truth)} patients, {', '.join(f'{c} {(truth == k).sum()}' for k, c in enumerate(classes))}.\n")
    print("| logistic regression on, or network | AUROC | minus side by side | p |\n|---|---|---|---|")
    base = next(iter(METHODS))
    for name, p in told.items():
        score = over_folds(lambda rows, p=p: auroc(p[rows], truth[rows] == 1), folds)  # type: ignore[misc]
        cells = [name, str(bootstrap(score, list(range(len(truth)))))]
        if name == base:
            cells += ["", ""]
        else:
            ours, theirs = ([of_fold(which, fold) for fold in range(FOLDS)] for which in (name, base))
            difference, p_value = corrected_difference(ours, theirs, 1 / FOLDS)
            cells += [
                f"{difference:+.3f}",
                f"{p_value:.2f}",
            ]
        print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
