"""``polyscan advise``: where and how to fuse on a cohort, from what it is like and from stored results on others."""

from polyscan import lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
