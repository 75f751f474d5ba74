"""What a command writes of each study, side by side in one folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from polyscan.errors import sentence
from polyscan.files.atomic import write_json
from polyscan.files.owned import replace_owned
from polyscan.progress import Progress, each_told, silent
from polyscan.study.manifest import Failure, none_done
from polyscan.study.outputs import OutputFolder
from polyscan.study.record import Study
from polyscan.study.sources import Sources, without_paths


@dataclass
class Written:
    """What was written.

    Attributes:
        files: study to what it is, such as an object or a scan, to the name of its file.
        failed: studies of which nothing could be written.
    """

    files: dict[str, dict[str, str]] = field(default_factory=dict)
    failed: list[Failure] = field(default_factory=list)

    def __str__(self) -> str:
        """How much it is."""
        return f"{sum(map(len, self.files.values()))} files of {len(self.files)} studies"


def write_each(
    owned: OutputFolder,
    studies: Sequence[Study],
    write: Callable[[Study, Path], dict[str, str]],
    *,
    done: str,
    index: str = "",
    sources: Sources | None = None,
    progress: Progress = silent,
) -> Written:
    """Write the files of each study, whole or not at all; one that fails stops no other.

    What the folder holds of an earlier run and not of this one is removed.

    Args:
        owned: the folder, which lists every file that may be written.
        studies: whose files they are.
        write: writes those of a study into a folder that it is given; what each is to its name.
        done: what happens to them, for the sentence where all failed, such as ``drawn``.
        index: JSON file that lists what was written; none where empty.
        sources: where the studies come from, whose names no reason of a failure may hold.
        progress: told (done, total, study) after each.

    Raises:
        PolyscanError: nothing could be written.
    """
    found, known = Written(), sources.studies if sources else {}
    with owned.alone():
        for study in each_told(studies, progress):
            try:
                with replace_owned(owned.path, group=study.key) as folder:
                    files = write(study, folder)
                found.files[study.key] = files
            except Exception as error:
                reason = without_paths(sentence(error), study, known.get(study.key))
                found.failed.append(Failure(study.key, reason))
        if index:
            with replace_owned(owned.path, group=index) as folder:
                write_json(folder / index, {"files": found.files})
        owned.remove_others(
            [*([index] if index else []), *(name for files in found.files.values() for name in files.values())]
        )
    if not found.files:
        raise none_done(done, len(studies), found.failed)
    return found
