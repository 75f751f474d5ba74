"""The made cohort that demo, tests and benchmarks run on: nothing of it is a patient's."""

from polyscan.phantom.cohort import make_cohort

__all__ = ["make_cohort"]
