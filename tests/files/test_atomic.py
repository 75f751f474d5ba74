from __future__ import annotations

from contextlib import suppress

import pytest

from polyscan.files.atomic import atomic_write, atomic_write_folder


def test_file_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "deep" / "a.txt"
    with pytest.raises(TypeError), atomic_write(target) as temporary:
        temporary.write_text(None)
    assert not list(target.parent.iterdir())
    with atomic_write(target) as temporary:
        temporary.write_text("whole")
        assert not target.exists()
    assert target.read_text() == "whole"
    assert [p.name for p in target.parent.iterdir()] == ["a.txt"]


def test_a_folder_appears_whole_and_replaces_nothing(tmp_path):
    target = tmp_path / "folder"
    with pytest.raises(TypeError), atomic_write_folder(target) as temporary:
        (temporary / "a").write_text(None)
    assert not list(tmp_path.iterdir())
    target.mkdir()  # an empty one
    for _ in range(2):
        with suppress(OSError), atomic_write_folder(target) as temporary:
            (temporary / f"{len(list(target.iterdir()))}").touch()
    assert [p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*")] == ["folder", "folder/0"]
