"""Any number of studies from folder to answer, by any number of processes and machines.

Each name is imported when it is first used, so that to ask where a batch stands is quick.
"""

from polyscan import lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
