"""A study, the manifest that lists studies, and the folders that polyscan owns."""

from polyscan import lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
