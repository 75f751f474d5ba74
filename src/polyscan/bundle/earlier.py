"""An answer from fewer scans, which stays beside that which a late scan updates."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterable
from dataclasses import replace
from pathlib import Path

from polyscan.errors import PolyscanError
from polyscan.study import ModelRecord, PredictionRecord
from polyscan.study.manifest import Manifest, read_record


def last_answer(record: Manifest | None) -> PredictionRecord | None:
    """What the record of a study says of it, where there is one and it says something."""
    return record.testing[0].prediction if record and record.testing else None


def check_same_bundle(out: Path, records: Iterable[Path], bundle: str) -> None:
    """Refuse to answer into a folder that holds what another bundle answered, which would be replaced.

    Args:
        out: the folder.
        records: of its studies.
        bundle: the name of the one that is to answer.

    Raises:
        PolyscanError: it holds answers of another.
    """
    said = filter(None, (last_answer(read_record(record)) for record in records))
    other = next((each.model.bundle for each in said if each.model), bundle)
    if other != bundle:
        raise PolyscanError(
            f"{out} holds answers of {other}, which those of {bundle} would replace; name another folder."
        )


def earlier_answers(
    said: PredictionRecord | None, model: ModelRecord | None, scans: Collection[str], key: str
) -> list[PredictionRecord]:
    """What the same model said by the same settings from fewer of the scans, first one first.

    The last answer is one of them where it was from fewer: its files are copied out of the way of the next. Where it
    was from the same, what stood beside it stands beside the next. None where files of them are gone.
    """
    if said is None or said.model is None or said.model != model or not {*said.present, *said.ignored} <= set(scans):
        return []
    fewer = {*said.present, *said.ignored} != set(scans)
    if not all(Path(file).is_file() for each in [*said.earlier, *([said] if fewer else [])] for file in each.files):
        return []
    return [*said.earlier, *([replace(copy_aside(said, key), earlier=[])] if fewer else [])]


def moved_aside(said: PredictionRecord, key: str) -> PredictionRecord:
    """An answer with the paths that its files have beside a later one; its maps of attribution are not kept.

    Args:
        said: the answer.
        key: of its study, with which the names of the files begin.
    """
    name = f"{key}_earlier{len(said.earlier) + 1}_"

    def aside(file: str) -> str:
        path = Path(file)
        return str(path.with_name(path.name.replace(f"{key}_", name, 1)))

    probabilities, entropies = (path and aside(path) for path in (said.probabilities, said.entropies))
    return replace(said, path=aside(said.path), probabilities=probabilities, entropies=entropies, attributions=[])


def copy_aside(said: PredictionRecord, key: str) -> PredictionRecord:
    """Copy the files of an answer out of the way of the next; see :func:`moved_aside`."""
    earlier = moved_aside(said, key)
    for file, copy in zip(said.files, earlier.files, strict=True):
        shutil.copyfile(file, copy)
    return earlier
