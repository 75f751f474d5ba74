"""A folder that is made anew keeps what somebody else put there, or changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from polyscan.files.owned import LIST, remove_files, remove_owned, replace_owned, rewrite_owned


def write(folder: Path, content: dict[str, str]) -> None:
    with replace_owned(folder, last="record") as temporary:
        for name, text in content.items():
            (temporary / name).parent.mkdir(parents=True, exist_ok=True)
            (temporary / name).write_text(text)


def files(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(LIST)
    }


def test_a_folder_of_before_there_were_lists_keeps_what_is_the_same_as_it_is(tmp_path, capsys):
    (tmp_path / "study").mkdir()
    for name, text in {"record": "1", "a": "1", "b": "0"}.items():
        (tmp_path / "study" / name).write_text(text)
    write(tmp_path / "study", {"record": "1", "a": "1", "b": "1"})
    assert files(tmp_path / "study") == {"record": "1", "a": "1", "b": "1", "b_corrected": "0"}
    assert capsys.readouterr().err.count("is kept as") == 1
    write(tmp_path / "study", {"record": "2", "a": "2"})
    assert files(tmp_path / "study") == {"record": "2", "a": "2", "b_corrected": "0"}


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


def test_a_file_that_was_changed_makes_way(folder, capsys):
    (folder / "a").write_text("corrected")
    write(folder, {"record": "2", "a": "2"})
    assert files(folder) == {"record": "2", "a": "2", "a_corrected": "corrected"}
    assert "a was changed since polyscan wrote it" in capsys.readouterr().err
    (folder / "a").write_text("corrected again")
    write(folder, {"record": "3"})
    assert files(folder) == {"record": "3", "a_corrected": "corrected", "a_corrected2": "corrected again"}
    (folder / "record").write_text("corrected")
    remove_owned(folder)
    assert sorted(files(folder)) == ["a_corrected", "a_corrected2", "record_corrected"]


def test_a_file_that_was_changed_stays_where_the_same_is_written_again(folder, capsys):
    (folder / "a").write_text("corrected")
    write(folder, {"record": "2", "a": "1"})
    assert files(folder) == {"record": "2", "a": "corrected"}
    assert capsys.readouterr().err == ""
    write(folder, {"record": "3", "a": "2"})
    assert files(folder) == {"record": "3", "a": "2", "a_corrected": "corrected"}


@pytest.mark.parametrize("name", ["a.nii.gz", "c"])
def test_a_file_of_the_same_name_in_the_way_is_kept(tmp_path, name):
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / name).write_text("mine")
    write(tmp_path / "study", {"a.nii.gz": "1", "c": "1"})
    stem, dot, ending = name.partition(".")
    assert files(tmp_path / "study") == {"a.nii.gz": "1", "c": "1", f"{stem}_corrected{dot}{ending}": "mine"}


def test_groups_that_share_a_folder_do_not_touch_each_other(tmp_path):
    for key in ("sub-1", "sub-2"):
        with replace_owned(tmp_path, group=key) as temporary:
            (temporary / f"{key}.txt").write_text("1")
    with rewrite_owned(tmp_path, "sub-3") as written:
        (tmp_path / "sub-3.txt").write_text("1")
        written.append("sub-3.txt")
    (tmp_path / "sub-2.txt").write_text("mine")
    with replace_owned(tmp_path, group="sub-1") as temporary:
        (temporary / "sub-1b.txt").write_text("2")
    assert files(tmp_path) == {"sub-1b.txt": "2", "sub-2.txt": "mine", "sub-3.txt": "1"}
    remove_files(tmp_path, ["sub-2.txt", "sub-3.txt"])
    assert files(tmp_path) == {"sub-1b.txt": "2", "sub-2_corrected.txt": "mine"}
    remove_owned(tmp_path, group="sub-1")
    assert [path.name for path in tmp_path.iterdir()] == ["sub-2_corrected.txt"]


def test_what_is_written_in_its_place_and_cut_short_is_no_ones(tmp_path):
    def rewrite(text, fails=False):
        with rewrite_owned(tmp_path, "sub-1") as written:
            (tmp_path / "mask").write_text(text)
            if fails:
                raise KeyboardInterrupt
            written.append("mask")

    rewrite("1")
    (tmp_path / "mask").write_text("corrected")
    with pytest.raises(KeyboardInterrupt):
        rewrite("half", fails=True)
    rewrite("2")
    assert files(tmp_path) == {"mask": "2", "mask_corrected": "corrected"}


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
