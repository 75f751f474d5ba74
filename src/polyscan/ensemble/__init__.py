"""Ensembles of whole studies' answers and features: what is fitted or kept outside a network."""

from polyscan import lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
