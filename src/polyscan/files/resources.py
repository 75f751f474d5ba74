"""Files that come with polyscan, and that a user names as they name files of their own."""

from __future__ import annotations

from pathlib import Path

from polyscan.errors import PolyscanError


def resource_folder(name: str) -> Path:
    """A folder that comes with polyscan: in a wheel it lies in the package, in a checkout beside ``src``."""
    package = Path(__file__).resolve().parents[1]
    return package / name if (package / name).is_dir() else package.parents[1] / name


def resource_file(name_or_file: str | Path, folder: str, ending: str, what: str) -> Path:
    """A file of the user's, or that of this name which comes with polyscan.

    Args:
        name_or_file: its path, or its name without the ending.
        folder: where those that come with polyscan lie, such as ``configs/protocols``.
        ending: of their names, such as ``.yaml``.
        what: such a file, in words.

    Raises:
        PolyscanError: there is neither.
    """
    known = {path.stem: path for path in sorted(resource_folder(folder).glob(f"*{ending}"))}
    for file in (Path(name_or_file), known.get(str(name_or_file))):
        if file is not None and file.is_file():
            return file
    raise PolyscanError(f"{name_or_file} is no file and no {what} that comes with polyscan: {', '.join(known)}.")
