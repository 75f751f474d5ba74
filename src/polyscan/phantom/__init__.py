"""The made cohort that demo, tests and benchmarks run on: nothing of it is a patient's."""

from polyscan.phantom.cohort import make_cohort
from polyscan.phantom.slices import make_slices
from polyscan.phantom.subject import MODALITIES

__all__ = ["MODALITIES", "make_cohort", "make_slices"]
