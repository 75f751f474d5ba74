"""Papers by what cites them: a docstring that names one, or a package or class that it describes."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

_FAR = 160  # characters from a surname to its year; a title and a venue stand between them
_ARGUMENTS = re.compile(r"^Args:.*?(?=^\w+:|\Z)", re.MULTILINE | re.DOTALL)
_KINDS = {"journal": "@article", "booktitle": "@inproceedings", "publisher": "@book", "eprint": "@misc"}


@dataclass(frozen=True)
class Reference:
    """A paper.

    Attributes:
        key: in BibTeX.
        author: "Surname Initials" each; "others" for those that are left away.
        title, journal, booktitle, publisher, eprint, volume, pages: as BibTeX has them; ``eprint`` is arXiv's number.
        year: of publication.
        keywords: what stands between surname and year where two papers share both.
        of: packages, or classes by their dotted paths, that it describes.
    """

    key: str
    author: tuple[str, ...]
    title: str
    year: int
    journal: str = ""
    booktitle: str = ""
    publisher: str = ""
    eprint: str = ""
    volume: int | None = None
    pages: str = ""
    keywords: str = ""
    of: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """Authors, title, where and when, as in a list of references."""
        names = [name for name in self.author if name != "others"]
        authors = ", ".join(names) + (", et al" if len(names) < len(self.author) else "")
        where = self.journal or self.booktitle or self.publisher or f"arXiv {self.eprint}"
        volume = f" {self.volume}" if self.volume is not None else ""
        pages = f":{self.pages}" if self.pages else ""
        title = self.title if self.title.endswith("?") else f"{self.title}."
        return f"{authors}. {title} {where}{volume}{pages}, {self.year}."

    @property
    def bibtex(self) -> str:
        """The entry."""
        kind = next(kind for name, kind in _KINDS.items() if getattr(self, name))
        entries = {
            "author": " and ".join(_of_bibtex(name) for name in self.author),
            "title": f"{{{self.title}}}",
            **{name: getattr(self, name) for name in ("journal", "booktitle", "publisher", "volume")},
            "pages": self.pages.replace("-", "--"),
            "eprint": self.eprint,
            "archiveprefix": "arXiv" if self.eprint else "",
            "year": self.year,
        }
        lines = [f"  {name} = {{{value}}}" for name, value in entries.items() if value not in ("", None)]
        return f"{kind}{{{self.key},\n" + ",\n".join(lines) + "\n}"

    def place_in(self, text: str) -> int:
        """Where a text cites it, as by "Hu et al., CVPR 2018"; -1 where it does not.

        The surname of the first author stands before the year, and no other year between them.
        """
        surname = re.escape(self.author[0].rpartition(" ")[0])
        no_year = r"(?:(?!\b(?:19|20)\d\d\b).)"
        for found in re.finditer(rf"\b{surname}\b({no_year}{{0,{_FAR}}}?)\b{self.year}\b", text):
            if self.keywords in found[1]:
                return found.start()
        return -1


def cited_by(*things: Any) -> list[Reference]:
    """The papers that docstrings of classes, functions or modules name, in their order.

    What is said of an argument is left out, since it goes for some of its values only.
    """
    found: dict[str, Reference] = {}
    for thing in things:
        text = " ".join(_ARGUMENTS.sub("", inspect.getdoc(thing) or "").split())
        places = [(place, each) for each in references() if (place := each.place_in(text)) >= 0]
        found |= {each.key: each for _, each in sorted(places, key=lambda pair: pair[0])}
    return list(found.values())


def references_of(name: str) -> list[Reference]:
    """The papers that describe a package, or a class by its dotted path."""
    return [each for each in references() if name in each.of]


@cache
def references() -> tuple[Reference, ...]:
    """All that are known."""
    content: Any = yaml.safe_load(Path(__file__).with_name("references.yaml").read_text(encoding="utf-8"))
    return tuple(_reference(key, entries) for key, entries in content.items())


def _reference(key: str, entries: dict[str, Any]) -> Reference:
    fixed: Any = {name: tuple(value) if isinstance(value, list) else value for name, value in entries.items()}
    return Reference(key=key, **fixed)


def _of_bibtex(name: str) -> str:
    surname, _, initials = name.rpartition(" ")
    return f"{surname}, {initials}" if surname else name
