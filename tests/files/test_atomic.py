from __future__ import annotations

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


def test_failing_again_keeps_what_was_there(tmp_path):
    target = tmp_path / "folder"
    with atomic_write_folder(target) as temporary:
        (temporary / "a").write_text("1")
    with pytest.raises(TypeError), atomic_write_folder(target) as temporary:
        (temporary / "a").write_text(None)
    assert (target / "a").read_text() == "1"
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]
