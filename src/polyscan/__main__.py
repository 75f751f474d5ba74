"""``python -m polyscan`` is the command ``polyscan``."""

import sys

from polyscan.cli import main

if __name__ == "__main__":
    sys.exit(main())
