"""A folder that is made anew keeps what somebody else put there, or changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from polyscan.errors import PolyscanError
from polyscan.files.owned import LIST, remove_owned, replace_owned


def write(folder: Path, content: dict[str, str]) -> None:
    with replace_owned(folder, last="record") as temporary:
        for name, text in content.items():
            (temporary / name).parent.mkdir(parents=True, exist_ok=True)
            (temporary / name).write_text(text)


def files(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in folder.rglob("*")
        if path.is_file() and path.name != LIST
    }


@pytest.fixture
def folder(tmp_path):
    write(tmp_path / "study", {"record": "1", "a": "1", "deep/b": "1"})
    return tmp_path / "study"


def test_what_is_owned_is_replaced_and_the_rest_stays(folder):
    (folder / "notes").write_text("mine")
    (folder / "deep" / "corrected").write_text("mine")
    (folder / "link").symlink_to("notes")
    write(folder, {"record": "2", "a": "2", "c": "2"})
    own = {"notes": "mine", "deep/corrected": "mine", "link": "mine"}
    assert files(folder) == {"record": "2", "a": "2", "c": "2", **own}
    write(folder, {"record": "3"})
    assert files(folder) == {"record": "3", **own}
    remove_owned(folder)
    assert files(folder) == own
    assert [path.name for path in folder.parent.iterdir()] == ["study"]


def test_a_file_that_was_changed_is_not_replaced(folder):
    (folder / "a").write_text("corrected")
    with pytest.raises(PolyscanError, match="study/a was changed since polyscan wrote it, or was not written"):
        write(folder, {"record": "2", "a": "2"})
    assert files(folder) == {"record": "1", "a": "corrected", "deep/b": "1"}
    write(folder, {"record": "2"})
    assert files(folder) == {"record": "2", "a": "corrected"}
    remove_owned(folder)
    assert files(folder) == {"a": "corrected"}


@pytest.mark.parametrize("name", ["a", "c"])
def test_a_file_of_the_same_name_in_the_way_is_not_replaced(tmp_path, name):
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / name).write_text("mine")
    with pytest.raises(PolyscanError, match="move it away"):
        write(tmp_path / "study", {"a": "1", "c": "1"})
    assert files(tmp_path / "study") == {name: "mine"}


def test_what_is_cut_short_leaves_no_record_and_nothing_unowned(folder, monkeypatch):
    moved = []

    def replace(path, target):
        if Path(target).parent == folder and not Path(target).name.startswith("."):
            if moved:
                raise KeyboardInterrupt
            moved.append(Path(target).name)
        return whole(path, target)

    whole = Path.replace
    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(KeyboardInterrupt):
        write(folder, {"record": "2", "a": "2", "c": "2"})
    monkeypatch.undo()
    assert files(folder) == {"a": "2"}
    remove_owned(folder)
    assert not folder.exists()


def test_what_fails_keeps_what_was_there(folder):
    with pytest.raises(TypeError):
        write(folder, {"a": "2", "b": None})
    assert files(folder) == {"record": "1", "a": "1", "deep/b": "1"}
    remove_owned(folder)
    assert not folder.exists()
