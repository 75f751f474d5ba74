"""Suppression, before and after treatment: the scan before tells nothing by itself, and what the one after means."""

from polyscan.phantom.tasks.gaussian import GaussianTask

TASK = GaussianTask(
    "Suppression: response after treatment; the scan before is at chance alone, and takes away what hides it after.",
    {"before": 0.0, "after": 4.53},
    {"evidence": {"before": 3.0, "after": 3.0}},
)
