"""The made cohort that demo, tests and benchmarks run on: nothing of it is a patient's."""

from polyscan import lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
