"""Output fusion: rules that join the answers of several members, whichever of them have answered."""

from polyscan import lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
