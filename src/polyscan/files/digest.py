"""What tells whether two files, or what two things were made of, are the same."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any


def sha256(file: Path) -> str:
    """Of what stands in a file, in hexadecimal."""
    digest = hashlib.sha256()
    with file.open("rb") as content:
        while block := content.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def digest_of(*parts: Any) -> str:
    """Changes where any of the parts does, each of which JSON can hold, or is told by its text."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]
