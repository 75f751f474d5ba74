"""The MONAI dictionary transforms that bundles name: a prepared study to tensors, and a network's answer to files."""

from polyscan import lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
