"""Run a benchmark as a command: what it refuses is one sentence."""

from __future__ import annotations

import sys
from collections.abc import Callable

from polyscan.errors import PolyscanError


def run(main: Callable[[], None]) -> None:
    """Run ``main``; a :class:`PolyscanError` ends the process with its sentence."""
    try:
        main()
    except PolyscanError as error:
        sys.exit(str(error))
