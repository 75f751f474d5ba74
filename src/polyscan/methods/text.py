"""A text that numbers what it cites."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from polyscan.methods.references import Reference, cited_by, references_of


class Text:
    """Sections of sentences, and the papers that they cite, numbered as they come."""

    def __init__(self) -> None:
        self.cited: list[Reference] = []
        self._sections: dict[str, list[str]] = {}

    def say(self, section: str, *sentences: str) -> None:
        """Add to a section; empty sentences are none."""
        self._sections.setdefault(section, []).extend(filter(None, sentences))

    def cite(self, *things: Any) -> str:
        """The numbers of papers, as `` [1, 2]``, by docstrings of things, or of things by their dotted paths."""
        found = [
            each for thing in things for each in (references_of(thing) if isinstance(thing, str) else cited_by(thing))
        ]
        self.cited += [each for each in dict.fromkeys(found) if each not in self.cited]
        numbers = sorted({self.cited.index(each) + 1 for each in found})
        return f" [{', '.join(map(str, numbers))}]" if numbers else ""

    def markdown(self) -> str:
        """The sections, the list of references, and the same as BibTeX."""
        parts = [f"## {name}\n\n{' '.join(each)}" for name, each in self._sections.items() if each]
        if self.cited:
            listed = "\n".join(f"{number}. {each.text}" for number, each in enumerate(self.cited, start=1))
            entries = "\n\n".join(each.bibtex for each in self.cited)
            parts += [f"## References\n\n{listed}", f"## BibTeX\n\n```bibtex\n{entries}\n```"]
        return "\n\n".join(parts) + "\n"


def enumerated(names: Iterable[str]) -> str:
    """``a, b and c``."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def counted(number: int, thing: str, plural: str = "") -> str:
    """``1 study``, ``2 studies``."""
    if number == 1:
        return f"1 {thing}"
    return f"{number} {plural or (thing[:-1] + 'ies' if thing.endswith('y') else thing + 's')}"


def size(values: Sequence[float], unit: str) -> str:
    """``3 x 3 x 5 mm``."""
    return " x ".join(f"{value:.3g}" for value in values) + f" {unit}"
