"""Benchmarks are scripts beside each other, as ``python benchmarks/NAME.py`` finds them."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
