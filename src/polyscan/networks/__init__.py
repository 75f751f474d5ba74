"""Encoders, heads, and the networks that join them."""

from polyscan import lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
