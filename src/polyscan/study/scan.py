"""A scan of a study: where it lies, and what is known of it beside its files."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from polyscan.errors import PolyscanError
from polyscan.study.entry import PATH, Entry

Source = str | list[str]
"""Where a scan lies: a file, a folder of one DICOM series, or the files of one series."""


def paths_in(source: Source) -> list[str]:
    """The one path or the several of a source, as they are written."""
    return [source] if isinstance(source, str) else source


@dataclass
class Scan(Entry):
    """A scan.

    Attributes:
        source: where it lies.
        given: attributes that its headers lack and the user knows, such as ``{"PatientWeight": 71.0}``.
        sidecar: of a prepared scan, the JSON file that says what was done to it.
        notes: what ``scan`` decided about its slices, as which of two at one position is kept, without names of files.
    """

    source: Source = field(metadata=PATH)
    given: dict[str, Any] = field(default_factory=dict)
    sidecar: str | None = field(default=None, metadata=PATH)
    notes: list[str] = field(default_factory=list)

    @property
    def is_table(self) -> bool:
        """Whether it is a file of names and numbers, and no image."""
        return isinstance(self.source, str) and self.source.endswith(".json")

    @property
    def path(self) -> str:
        """The file that it lies in.

        Raises:
            PolyscanError: it is several files.
        """
        if isinstance(self.source, str):
            return self.source
        raise PolyscanError(f"A scan of {len(self.source)} files stands where one file is expected; prepare it first.")
