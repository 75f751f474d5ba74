"""``polyscan compare``: ways to fuse, trained on the same folds of one cohort beside simple ones."""

from polyscan import lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
