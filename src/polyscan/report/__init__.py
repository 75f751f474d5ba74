"""What a person looks at: a page a study and one for all of them.

Each name is imported when it is first used, so that what draws studies is imported by the processes that do.
"""

from polyscan import lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
