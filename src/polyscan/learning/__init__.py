"""Training: losses of the heads and of fusion layers, and the handlers of a recipe."""

from polyscan import lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
