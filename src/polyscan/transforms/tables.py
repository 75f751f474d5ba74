"""The tables of a study as one tensor; what was not recorded is NaN."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor

from polyscan.errors import PolyscanError, first_of
from polyscan.files.atomic import read_json
from polyscan.study.record import CLINICAL
from polyscan.transforms.each_key import EachKeyTransform
from polyscan.transforms.load import check_absent
from polyscan.transforms.standardised import number_of, standardised, word_of

Columns = Sequence[str] | Mapping[str, Sequence[Any]]
"""The columns of a table: names of numbers that are standardised already, or names to ``[mean, standard deviation]`` or
to the words that a column may hold."""


class LoadTablesd(EachKeyTransform):
    """Read the tables of a study into one tensor (table, column), each a modality of a network of vectors.

    A table is a JSON file of names and numbers that the study names among its images, or its clinical variables. A
    number becomes (value - mean) / standard deviation and, behind it, 1 where it was recorded and 0 where not; a word
    becomes a 1 among zeros. A table of which nothing was recorded is NaN throughout, and so is what lies behind the end
    of a shorter one. The tensor's ``filename_or_obj`` is the study's name.

    A word that is not known is refused; where the item has a list ``unread`` it is taken as not recorded, and the list
    gets the name of its column.

    Args:
        keys: entries that map a table to its file.
        tables: table to its columns, in the order of the modalities, see :data:`Columns`.
        block_scaling: divide a table by the root of how many numbers it has, so that a thousand genes have together the
            variance of one variable, and weigh no more than ten clinical ones (Westerhuis et al., Journal of
            Chemometrics 12, 1998).
        absent: tables to treat as though they were not there.
        clinical: entry of the clinical variables.
        allow_missing_keys: as in MONAI.

    Raises:
        PolyscanError: a study has none of the tables, a file has none of its table's columns, or a value is neither a
            word that is known nor a number, or a number that only another unit can give.
    """

    def __init__(
        self,
        keys: KeysCollection,
        tables: Mapping[str, Columns],
        *,
        block_scaling: bool = False,
        absent: Sequence[str] = (),
        clinical: str = CLINICAL,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.tables = dict(tables)
        self.block_scaling = block_scaling
        check_absent(absent, tables, "Table")
        self.read = [name for name in tables if name not in absent]
        self.clinical = clinical
        self.width = width_of(tables)

    def apply(self, data: dict[Hashable, Any], key: Hashable) -> None:
        data[key] = self._tensor(data[key], data.get(self.clinical, {}), str(data["study"]), data.get("unread"))

    def _tensor(
        self, files: Mapping[str, str], clinical: Mapping[str, Any], study: str, unread: list[str] | None
    ) -> MetaTensor:
        known = {name: read_json(files[name]) for name in self.read if name in files and name != CLINICAL}
        for name, values in known.items():
            if values and not any(column in values for column in self.tables[name]):
                known_columns = first_of(list(self.tables[name]))
                raise PolyscanError(
                    f"{study}: {name} has none of the columns {known_columns}; name them so, or leave the table out."
                )
        if CLINICAL in self.read:
            known[CLINICAL] = clinical
        rows = [_row(known.get(name, {}), columns, study, unread) for name, columns in self.tables.items()]
        if all(row is None for row in rows):
            raise PolyscanError(f"{study} has no value in a table; expected at least one of {', '.join(self.read)}.")
        tensor = torch.full((len(rows), self.width), torch.nan)
        for m, row in enumerate(rows):
            if row is not None:
                scale = len(row) ** -0.5 if self.block_scaling else 1.0
                tensor[m, : len(row)] = torch.tensor(row) * scale
        return MetaTensor(tensor, meta={"filename_or_obj": study})


def width_of(tables: Mapping[str, Columns]) -> int:
    """How many numbers the longest of some tables has as :class:`LoadTablesd` writes it."""
    return max(len(_row({}, columns, "", None, always=True) or ()) for columns in tables.values())


def _row(
    values: Mapping[str, Any], columns: Columns, study: str, unread: list[str] | None, always: bool = False
) -> list[float] | None:
    """The numbers of a table; None where nothing of it was recorded."""
    row: list[float] = []
    recorded = always
    for name in columns:
        value, words = values.get(name), _words(columns, name)
        if words:
            value = word_of(value, words, name, study, unread)
        recorded = recorded or value is not None
        if not isinstance(columns, Mapping):
            row.append(number_of(value, name, study))
        elif words:
            row += [float(value == word) for word in words]
        else:
            mean, deviation = columns[name]
            row += [standardised(value, mean, deviation, name, study), float(value is not None)]
    return row if recorded else None


def _words(columns: Columns, name: str) -> Sequence[Any]:
    """What a column may hold; nothing where that is numbers."""
    known = columns[name] if isinstance(columns, Mapping) else ()
    return known if any(isinstance(word, str) for word in known) else ()
