"""A hospital's archive sends studies, a bundle answers, results go back: DICOM in, DICOM out.

Each name is imported when it is first used, so that to ask how far the studies are is quick.
"""

from polyscan import lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
