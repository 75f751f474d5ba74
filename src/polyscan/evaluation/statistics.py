"""Scores of a cohort with intervals, and differences between two ways to answer on the same patients."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from scipy.stats import rankdata

from polyscan.errors import PolyscanError

Score = Callable[[NDArray[np.intp]], float]
"""The score of the rows that it is given, each as often as it is given; NaN where they have none."""


class Interval(NamedTuple):
    """A value and its confidence interval; ``str`` writes ``0.812 (0.776 to 0.846)``, a format all three by it.

    Of one patient, or of patients who are all of one class, there is no interval: its ends are NaN.
    """

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return format(self, ".3f")

    def __format__(self, spec: str) -> str:
        value, low, high = (format(each, spec or ".3f") for each in self)
        return f"{value} (no interval)" if np.isnan(self.low) else f"{value} ({low} to {high})"


def auroc(score: ArrayLike, truth: ArrayLike) -> float:
    """Area under the ROC curve, which is Mann and Whitney's U over the pairs (Hanley and McNeil, Radiology 143, 1982).

    Args:
        score: (study,) higher where the truth is expected.
        truth: (study,) bool or 0 and 1.

    Returns:
        NaN where all are of one class, and where a score is NaN.
    """
    positive = np.asarray(truth).astype(bool)
    many, few = int(positive.sum()), int((~positive).sum())
    if not many or not few:
        return float("nan")
    ranks = rankdata(np.asarray(score, dtype=np.float64))
    return float((ranks[positive].sum() - many * (many + 1) / 2) / (many * few))


def macro_auroc(probabilities: ArrayLike, truth: ArrayLike) -> float:
    """:func:`auroc` of each class against the others, averaged over the classes that some studies are of and some not.

    Args:
        probabilities: (study, class); of two classes the second's are looked at.
        truth: (study,) index of the true class.

    Returns:
        NaN where all are of one class.
    """
    p, y = np.asarray(probabilities, dtype=np.float64), np.asarray(truth)
    return known_mean([auroc(p[:, k], y == k) for k in ([1] if p.shape[1] == 2 else range(p.shape[1]))])


def known_mean(values: ArrayLike) -> float:
    """The mean of those values that are finite; NaN where none is."""
    each = np.asarray(values, dtype=np.float64)
    known = each[np.isfinite(each)]
    return float(known.mean()) if known.size else float("nan")


def concordance_index(risk: ArrayLike, time: ArrayLike, event: ArrayLike) -> float:
    """Harrell's c: of the pairs whose order is known, how many have the higher risk first; ties of risk count half.

    Harrell et al., Statistics in Medicine 15, 1996. A pair's order is known where the earlier time is an
    event; at equal times an event comes before a censoring, and two events have no order.

    Args:
        risk: (study,) higher where the event is expected earlier.
        time: (study,) of the event or of censoring.
        event: (study,) bool or 0 and 1: whether the event was seen.

    Returns:
        NaN where no pair has a known order, and where a risk is NaN.
    """
    r, t = (np.asarray(values, dtype=np.float64) for values in (risk, time))
    seen = np.asarray(event) > 0
    first = seen[:, None] & ((t[:, None] < t) | ((t[:, None] == t) & ~seen))
    pairs = int(first.sum())
    if not pairs or np.isnan(r).any():
        return float("nan")
    difference = r[:, None] - r
    return float(((difference > 0) & first).sum() + 0.5 * ((difference == 0) & first).sum()) / pairs


def bootstrap(
    score: Score,
    groups: Sequence[Hashable],
    *,
    n_resamples: int = 1000,
    seed: int = 0,
) -> Interval:
    """A score with its percentile interval of 95 % over patients drawn again (Efron and Tibshirani, 1993, chapter 13).

    Args:
        score: of rows, see :data:`Score`. For a paired difference give the difference of two scores of the same rows.
        groups: (study,) the patient of each row. Patients are drawn, each with all of their studies.
        n_resamples: how many times a cohort is drawn.
        seed: of the draws.

    Raises:
        PolyscanError: there is no row.
    """
    drawn = bootstrap_scores(score, groups, n_resamples=n_resamples, seed=seed)
    return percentile_interval(score(np.arange(len(groups))), drawn)


def bootstrap_scores(
    score: Score, groups: Sequence[Hashable], *, n_resamples: int = 1000, seed: int = 0
) -> NDArray[np.float64]:
    """The score of each drawn cohort, (n_resamples,): what :func:`bootstrap` takes its interval from.

    Arguments and errors as there. The draws depend on ``groups`` and ``seed`` alone, so that the differences of two
    scores that were found with the same ones are paired. All NaN for one patient, who tells nothing of others.
    """
    if not len(groups):
        raise PolyscanError("There is no study to score; give one at least.")
    patients: dict[Hashable, list[int]] = {}
    for row, group in enumerate(groups):
        patients.setdefault(group, []).append(row)
    rows = [np.array(of_patient) for of_patient in patients.values()]
    if len(rows) < 2:
        return np.full(n_resamples, np.nan)
    draw = np.random.default_rng(seed)
    draws = (draw.integers(len(rows), size=len(rows)) for _ in range(n_resamples))
    return np.array([score(np.concatenate([rows[k] for k in drawn])) for drawn in draws])


def percentile_interval(value: float, drawn: ArrayLike) -> Interval:
    """A value with the interval of 95 % between percentiles of drawn ones; those that are NaN are left out."""
    known = np.asarray(drawn, dtype=np.float64)
    known = known[np.isfinite(known)]
    low, high = np.percentile(known, [2.5, 97.5]) if known.size else (np.nan, np.nan)
    return Interval(value, float(low), float(high))


def over_folds(score: Callable[[NDArray[np.intp]], float], folds: ArrayLike) -> Score:
    """The mean of a score over cross-validation folds: answers of different folds come from different models.

    Args:
        score: of the rows of one fold.
        folds: (study,) the fold of each row.
    """
    of_row = np.asarray(folds)

    def mean(rows: NDArray[np.intp]) -> float:
        return known_mean([score(rows[of_row[rows] == fold]) for fold in np.unique(of_row)])

    return mean


def corrected_error(first: ArrayLike, second: ArrayLike, test_fraction: float) -> float:
    """The standard error of the mean difference of two models' scores over folds.

    Nadeau and Bengio, Inference for the generalization error, Machine Learning 52, 2003, corrected resampled t test:
    the training sets of folds overlap, so that the variance over J folds is multiplied by 1/J + n_test / n_train. Folds
    that are drawn anew test the same studies again, so that 1/J is that of one cross-validation, however often it is
    repeated; counted by themselves they call models that are alike different too often in small cohorts
    (``benchmarks/false_claims.py``).

    Args:
        first: (fold,) scores of one model, of repeated cross-validation too.
        second: (fold,) those of the other one on the same folds.
        test_fraction: part of the studies that each fold tests on, 0.2 for five folds.

    Raises:
        PolyscanError: there are fewer than two folds, or not as many of one as of the other.
    """
    a, b = (np.asarray(scores, dtype=np.float64) for scores in (first, second))
    if a.shape != b.shape or a.ndim != 1 or len(a) < 2:
        raise PolyscanError(
            f"The scores have shapes {a.shape} and {b.shape}; expected as many folds of both, two at least."
        )
    of_test = max(1 / len(a), test_fraction)
    return float(np.sqrt((a - b).var(ddof=1) * (of_test + test_fraction / (1 - test_fraction))))


def corrected_difference(first: ArrayLike, second: ArrayLike, test_fraction: float) -> tuple[Interval, float]:
    """The mean difference of two models' scores over folds, with the corrected resampled t test.

    Nadeau and Bengio, Inference for the generalization error, Machine Learning 52, 2003.

    Args:
        first: (fold,) scores of one model.
        second: (fold,) those of the other one on the same folds.
        test_fraction: see :func:`corrected_error`, which is the error that the test has.

    Returns:
        first - second with its interval of 95 %, and the two-sided p value.

    Raises:
        PolyscanError: there are fewer than two folds, or not as many of one as of the other.
    """
    error = corrected_error(first, second, test_fraction)
    difference = np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)
    mean = float(difference.mean())
    if error == 0:
        return Interval(mean, mean, mean), float(mean == 0)
    reach = float(stats.t.ppf(0.975, len(difference) - 1)) * error
    p = float(2 * stats.t.sf(abs(mean) / error, len(difference) - 1))
    return Interval(mean, mean - reach, mean + reach), p


def probability_of_false_claim(first: ArrayLike, second: ArrayLike, test_fraction: float) -> float:
    """How probable it is that the model with the lower mean over folds is not the worse one.

    The Bayesian correlated t test without a region of equivalence (Corani and Benavoli, Machine Learning 100, 2015,
    equation 8): the mean difference follows a t distribution about what was seen, with the variance of
    :func:`corrected_difference`.

    Args:
        first: (fold,) scores of one model.
        second: (fold,) those of the other one.
        test_fraction: see :func:`corrected_difference`.

    Returns:
        From 0 to 0.5.
    """
    interval, p = corrected_difference(first, second, test_fraction)
    return 0.5 if interval.value == 0 else p / 2


class SignedRank(NamedTuple):
    """How probable it is that the second is ahead, that both are as good in practice, and that the first is ahead."""

    second: float
    equal: float
    first: float


def bayesian_signed_rank(
    differences: ArrayLike, rope: float, *, prior: float = 0.5, draws: int = 20000, seed: int = 0
) -> SignedRank:
    """Which of two methods is better over cohorts, where so small a difference that it matters to nobody is none.

    The Bayesian signed-rank test (Benavoli et al., JMLR 18, 2017, section 4.2): cohorts, and one before them whose
    difference is 0, have weights of a Dirichlet distribution. Drawn weights say how probable it is that the mean of
    the differences of two cohorts is below, within or above the region of practical equivalence, a half of a mean at
    its edge; the outcome with the most wins the draw.

    Args:
        differences: (cohort,) score of the first method less that of the second one.
        rope: from -rope to rope both are as good.
        prior: how many cohorts the one counts for that stands before the others.
        draws: of weights.
        seed: of the draws.

    Returns:
        The part of the draws that each outcome wins.

    Raises:
        PolyscanError: there is no difference, or the region has no width.
    """
    z = np.asarray(differences, dtype=np.float64)
    if not z.size or rope <= 0:
        raise PolyscanError(f"There are {z.size} differences and rope is {rope}; expected one at least and a width.")
    z = np.append(z, 0.0)
    means = (z[:, None] + z) / 2
    above, below = (np.heaviside(sign * means - rope, 0.5) for sign in (1, -1))
    weights = np.random.default_rng(seed).dirichlet(np.append(np.ones(len(z) - 1), prior), draws)
    ahead, behind = (((weights @ outcome) * weights).sum(1) for outcome in (above, below))
    wins = np.argmax([behind, 1 - ahead - behind, ahead], axis=0)
    return SignedRank(*(np.bincount(wins, minlength=3) / draws).tolist())


def holm(p: ArrayLike) -> NDArray[np.float64]:
    """P values of a family, adjusted so that one false claim in it stays as rare as each alone would be.

    Holm, Scandinavian Journal of Statistics 6, 1979.
    """
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values)
    stepped = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted
