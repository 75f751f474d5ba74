from __future__ import annotations

import errno
import os
import sqlite3

import pytest

from polyscan.errors import PolyscanError, sentence
from polyscan.modality import modality
from polyscan.study import Study


def wrapped(inner: Exception) -> Exception:
    try:
        try:
            raise inner
        except Exception as error:
            raise RuntimeError("applying transform") from error
    except RuntimeError as outer:
        return outer


def test_the_users_sentence_is_found_behind_what_libraries_say():
    assert sentence(wrapped(PolyscanError("Give a file."))) == "Give a file."
    assert sentence(wrapped(KeyError("x"))) == "KeyError: '...'"
    assert sentence(wrapped(TypeError("f() got an unexpected keyword argument 'x'"))).endswith("argument 'x'")
    assert sentence(wrapped(TypeError("'ANNA' is no number"))) == "TypeError: '...' is no number"


def test_what_the_system_refuses_is_a_sentence():
    for number in (errno.ENOSPC, errno.EFBIG):
        assert sentence(wrapped(OSError(number, "File too large", "/home/anna/x"))).startswith("the disk")
    assert "does not exist; check the paths" in sentence(FileNotFoundError(errno.ENOENT, "No such file", "/home/x"))
    assert "a file where a folder" in sentence(NotADirectoryError(errno.ENOTDIR, "Not a directory", "/home/anna/x/y"))
    assert "may not be read" in sentence(PermissionError(errno.EACCES, "Permission denied", "/home/anna/x"))
    with pytest.raises(UnicodeEncodeError) as caught:
        os.fsdecode(b"M\xfcller").encode()
    assert "not written in UTF-8" in sentence(caught.value)
    assert sentence(OSError("of a library")) == "OSError: of a library"
    kept = sqlite3.connect(":memory:")
    kept.execute("PRAGMA max_page_count = 1")
    with pytest.raises(sqlite3.OperationalError) as full:
        kept.execute("CREATE TABLE files (path TEXT)")
    assert sentence(full.value).startswith("the disk, or what may be written to it, is full")


def test_unknown_modality_names_the_known_ones():
    with pytest.raises(PolyscanError, match="'MEG' is not known; use one of T1c, CT, T1"):
        modality("MEG")


def test_study_keys_are_bids_labels():
    assert Study("STS_002").key == "sub-STS002"
    assert Study("a b", session="2-x").key == "sub-ab_ses-2x"
    with pytest.raises(PolyscanError, match="no letter or digit"):
        _ = Study("--").key
