"""The weights of a bundle on the server: its own, and every version that was trained here."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from polyscan.errors import PolyscanError
from polyscan.files.atomic import atomic_write, read_json, write_json

OWN = "bundle"
"""The name of the weights that a bundle came with."""


class Weights:
    """The weights of a bundle on this server: its own, and every version that was trained here. One of them answers.

    Each version is kept, whether it was found good enough to answer or not, so that any can be put back. What is known
    of them stands in ``weights.json`` beside: scores, and which subjects were trained on and which never are.

    Args:
        folder: where versions are kept.
        own: the bundle's own weights.
    """

    def __init__(self, folder: Path, own: Path) -> None:
        self.folder, self.own = folder, own
        self.file = folder / "weights.json"

    @property
    def names(self) -> list[str]:
        """All that can answer, the bundle's own first."""
        return [OWN, *self._known()["versions"]]

    @property
    def answering(self) -> str:
        """The name of those that answer."""
        return str(self._known()["answering"])

    def path(self, name: str | None = None) -> Path:
        """The file of the weights of a name; of those that answer where none is given.

        Raises:
            PolyscanError: there are none of that name.
        """
        name = self.answering if name is None else name
        if name not in self.names:
            raise PolyscanError(f"There are no weights {name!r}; there are {', '.join(self.names)}.")
        return self.own if name == OWN else self.folder / f"{name}.pt"

    def split(self, subjects: Iterable[str]) -> tuple[list[str], list[str]]:
        """Who is trained on, and who is held out: a quarter, at least one.

        Who was trained on once is never held out later, nor the other way round.

        Raises:
            PolyscanError: there are fewer than two, or none that was never trained on.
        """
        known, subjects = self._known(), sorted(set(subjects))
        held_out = [subject for subject in subjects if subject in known["held_out"]]
        new = [subject for subject in subjects if subject not in (*known["held_out"], *known["trained_on"])]
        new.sort(key=lambda subject: hashlib.sha256(subject.encode()).hexdigest())  # no order that could mean something
        held_out += new[: max(0, max(1, round(len(subjects) / 4)) - len(held_out))]
        training = [subject for subject in subjects if subject not in held_out]
        if not held_out or not training:
            raise PolyscanError(
                f"{len(subjects)} subjects have a final label; training needs one to learn from and another, never "
                "trained on, to be judged by: label one more."
            )
        return training, held_out

    def add(self, file: Path, told: Mapping[str, Any], training: Iterable[str], held_out: Iterable[str]) -> str:
        """Keep newly trained weights; they do not answer yet. Returns their name."""
        known = self._known()
        name = str(len(known["versions"]) + 1)
        with atomic_write(self.folder / f"{name}.pt") as temporary:
            shutil.copyfile(file, temporary)
        known["versions"][name] = dict(told)
        for section, subjects in (("trained_on", training), ("held_out", held_out)):
            known[section] = sorted({*known[section], *subjects})
        write_json(self.file, known)
        return name

    def put(self, name: str) -> None:
        """Let the weights of a name answer from now on.

        Raises:
            PolyscanError: there are none of that name.
        """
        self.path(name)
        write_json(self.file, {**self._known(), "answering": name})

    def _known(self) -> dict[str, Any]:
        empty: dict[str, Any] = {"answering": OWN, "versions": {}, "trained_on": [], "held_out": []}
        return empty | (read_json(self.file) if self.file.exists() else {})
