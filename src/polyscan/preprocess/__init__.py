"""From scans as they come to scans that can be read together: register, resample, normalise.

Each name is imported when it is first used, so that to hand out studies needs none of what prepares them.
"""

from polyscan import lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
