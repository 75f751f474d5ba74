"""Four contrasts that each hold evidence of their own: 95.0 % with all, 92.3 % with three, 79.5 % with one."""

from polyscan.phantom.tasks.gaussian import GaussianTask

TASK = GaussianTask(
    "A diagnosis from four contrasts, each with as much evidence as the others and independent of them.",
    dict.fromkeys(("T1", "T1c", "T2", "FLAIR"), 1.645),
)
