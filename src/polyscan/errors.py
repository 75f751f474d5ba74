"""What the user is told of an error, and what nobody is: values of patients that libraries quote."""

from __future__ import annotations

import errno
import logging
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence

_OF_THE_SYSTEM = {
    **dict.fromkeys(
        (errno.ENOSPC, errno.EDQUOT, errno.EFBIG),
        "the disk, or what may be written to it, is full; make room and give the same command again to go on.",
    ),
    **dict.fromkeys(
        (errno.EACCES, errno.EPERM),
        "a file or folder may not be read or written by this user; change its permissions or name another one.",
    ),
    **dict.fromkeys(
        (errno.ENOTDIR, errno.EEXIST),
        "a part of the path is a file where a folder is needed; name another place.",
    ),
    errno.ENOENT: "a file or folder that is needed does not exist; check the paths that were given.",
    errno.EROFS: "the disk can be read only; name an output on another one.",
    errno.EMFILE: "too many files are open; raise the limit (ulimit -n) or work with fewer processes.",
    errno.EIO: "a disk failed while it was read or written; try again, and copy the data to another one.",
}
"""What the operating system refuses, whichever library asked for it."""
_OF_SQLITE = {"database or disk is full": errno.ENOSPC, "disk I/O error": errno.EIO}
"""The same, as SQLite says it."""

_QUOTED = re.compile(r"""(?<!\w)(['"]).*?\1(?!\w)""")
"""In what a library says, most often a value that it read."""
_NAMES_OF_CODE = (ImportError, AttributeError, NameError)
_OF_A_CALL = re.compile(r"[\w.]+\(\) (?:got|missing|takes) ")
"""How Python begins to say that a function has no such argument, whose name is no value."""


class PolyscanError(Exception):
    """Something in the user's input cannot be used.

    The message is one sentence that says what was found, what was expected and what to do. It never holds
    patient data beyond the study identifier that the user gave. The command line prints it and exits with 1.
    """


def unknown_name(what: str, name: str, known: Iterable[str]) -> PolyscanError:
    """What is said where a user names something that there is not.

    Args:
        what: it is to be, such as ``fusion layer``.
        name: that was given.
        known: those that there are.
    """
    return PolyscanError(f"There is no {what} {name!r}; there are {', '.join(known)}.")


def nothing_to_read(study: str, found: Iterable[str], wanted: Iterable[str]) -> PolyscanError:
    """What is said of a study of which a network reads nothing.

    Args:
        study: its key.
        found: the scans that it has.
        wanted: those that the network reads.
    """
    return PolyscanError(f"{study} has {', '.join(found) or 'no scan'}; expected at least one of {', '.join(wanted)}.")


def first_of(names: Sequence[str]) -> str:
    """The first three names of a list, and whether there are more.

    Example:
        >>> first_of(["anna", "bob", "carl", "dora"])
        'anna, bob, carl, ...'
    """
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def and_more(said: Sequence[str]) -> str:
    """What is said of the first of several, and of how many more it could be said.

    Example:
        >>> and_more(["anna has two masks", "bob has two masks"])
        'anna has two masks, as in 1 more'
    """
    return f"{said[0]}, as in {len(said) - 1} more" if len(said) > 1 else said[0]


def chain_of(error: BaseException | None) -> Iterator[BaseException]:
    """An error, what it was raised from or while handling, and so on to its root."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def sentence(error: BaseException) -> str:
    """What an error says to the user: the text of the PolyscanError behind it, what the system refused, or its root.

    Of the root, where nothing better is known, type and first line, without the values that libraries quote.
    """
    for root in chain_of(error):
        if isinstance(root, PolyscanError):
            return str(root)
        if isinstance(root, OSError) and root.errno in _OF_THE_SYSTEM:
            return _OF_THE_SYSTEM[root.errno]
        if str(root) in _OF_SQLITE:
            return _OF_THE_SYSTEM[_OF_SQLITE[str(root)]]
        if isinstance(root, UnicodeEncodeError) and "surrogates" in root.reason:
            return "a file or folder has a name that is not written in UTF-8, as old systems write names; rename it."
    text = str(root).strip().splitlines()
    if not text:
        return type(root).__name__
    of_code = isinstance(root, _NAMES_OF_CODE) or _OF_A_CALL.match(text[0])
    said = text[0] if of_code else _QUOTED.sub("'...'", text[0])
    return f"{type(root).__name__}: {said}"


def hold_back_values() -> None:
    """Let pydicom and highdicom not print values that they find at fault, as names, nor nibabel what it mends.

    For processes that are polyscan's own: the warnings of somebody's script are left to that.
    """
    warnings.filterwarnings("ignore", module="pydicom|highdicom")
    logging.getLogger("nibabel.global").setLevel(logging.CRITICAL)
