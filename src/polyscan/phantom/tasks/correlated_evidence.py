"""Contrasts that err together: what multiplies their probabilities is far too sure."""

from polyscan.phantom.tasks.gaussian import GaussianTask

_CONTRASTS = ("T1", "T1c", "T2", "FLAIR")

TASK = GaussianTask(
    "A diagnosis from four contrasts that one thing disturbs: together they tell little more than one alone.",
    dict.fromkeys(_CONTRASTS, 3.5),
    {"evidence": dict.fromkeys(_CONTRASTS, 1.5)},
)
