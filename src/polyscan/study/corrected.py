"""An answer that somebody corrected in its place, as a mask by hand, is theirs: it makes way and is not replaced."""

from __future__ import annotations

from itertools import count
from pathlib import Path

from polyscan.files.digest import sha256
from polyscan.study.record import PredictionRecord


def set_aside(said: PredictionRecord) -> Path | None:
    """Rename the file of an answer that is about to be replaced or removed, where somebody changed it.

    Args:
        said: the answer.

    Returns:
        The new name, such as ``sub-01_pred_corrected.nii.gz``; None where the file is as it was written, or gone.
    """
    path = Path(said.path)
    if not said.sha256 or not path.is_file() or sha256(path) == said.sha256:
        return None
    name, ending = path.name.partition(".")[0], "".join(path.suffixes)
    names = (f"{name}_corrected{number if number > 1 else ''}{ending}" for number in count(1))
    free = next(new for new in map(path.with_name, names) if not new.exists())
    return path.rename(free)
