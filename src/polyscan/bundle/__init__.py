"""What bundles share: the items they read, the loop over studies, and the commands that run them.

Each name is imported when it is first used, so that to plan a batch needs no network.
"""

from polyscan import lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
