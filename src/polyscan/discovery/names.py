"""Names of subjects that every later command accepts: letters and digits, each once, whatever a folder is called."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

_SPELT = str.maketrans({"ß": "ss", "ø": "o", "Ø": "O", "æ": "ae", "Æ": "Ae", "œ": "oe", "Œ": "Oe", "ł": "l", "Ł": "L"})


def distinct(names: Iterable[str]) -> dict[str, str]:
    """A name for each that keys can be made of: itself where its letters and digits are its own.

    Accents are taken off (``Müller`` is ``Muller``); a name without a Latin letter or digit becomes ``subject``; where
    several come to the same, the later ones in alphabetical order are numbered (``P12``, ``P12n2``).
    """
    found: dict[str, str] = {}
    taken: set[str] = set()
    names = sorted(set(names))
    # Those that need no change first, so that a change never takes a name from one that had it.
    for name in sorted(names, key=lambda each: (letters_of(each) != each, not each.isascii(), each)):
        key = letters_of(name)
        new = name if key and name.isascii() else key or "subject"
        number = 1
        while letters_of(new).casefold() in taken:
            number += 1
            new = f"{key or 'subject'}n{number}"
        taken.add(letters_of(new).casefold())
        found[name] = new
    return found


def letters_of(name: str) -> str:
    """The letters and digits of a name without accents."""
    decomposed = unicodedata.normalize("NFKD", name.translate(_SPELT))
    return re.sub(r"[^A-Za-z0-9]", "", decomposed)
