from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from multiprocessing import get_all_start_methods
from pathlib import Path

import pytest

from polyscan.errors import PolyscanError
from polyscan.parallel import one_ahead, run_each, run_first
from processes import until


def inverse(number: int) -> float:
    return 1 / number


@pytest.mark.parametrize("jobs", [1, 2])
def test_one_that_fails_stops_no_other(jobs):
    results = dict(run_each(inverse, [1, 0, 4], jobs))
    assert str(results.pop(0)) == "ZeroDivisionError: division by zero"
    assert results == {1: 1.0, 4: 0.25}


def test_nothing_to_do():
    assert list(run_each(inverse, [])) == []


def test_what_is_called_ahead_is_one_ahead_and_fails_alone():
    called = []

    def noted(number: int) -> float:
        called.append(number)
        return inverse(number)

    results = one_ahead(noted, [1, 0, 4, 5])
    assert next(results).result() == 1
    with pytest.raises(ZeroDivisionError):
        next(results).result()
    until(lambda: called == [1, 0, 4])
    assert [future.result() for future in results] == [0.25, 0.2]
    assert list(one_ahead(noted, [])) == []


@pytest.mark.parametrize("jobs", [0, -2])
def test_fewer_than_one_job_is_refused(jobs):
    with pytest.raises(PolyscanError, match=f"{jobs} jobs at a time do nothing; give 1 or more"):
        list(run_each(inverse, [1, 2], jobs))


def killed_at(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_a_process_that_is_killed_costs_its_item_only():
    results = dict(run_each(killed_at, list(range(6)), 2))
    assert "killed twice" in str(results.pop(3))
    assert results == {number: number for number in (0, 1, 2, 4, 5)}


def killed_once(mark: str) -> str:
    if mark.endswith("2") and not Path(mark).exists():
        Path(mark).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return mark


def test_what_was_under_way_is_tried_once_more(tmp_path):
    marks = [str(tmp_path / str(number)) for number in range(4)]
    assert dict(run_each(killed_once, marks, 2)) == {mark: mark for mark in marks}


def sleeps(mark: str) -> None:
    Path(mark).write_text(str(os.getpid()))
    time.sleep(60)


def test_processes_end_with_their_parent(tmp_path):
    marks = [str(tmp_path / name) for name in "ab"]
    script = tmp_path / "parent.py"
    script.write_text(
        "from polyscan.parallel import run_each\nfrom test_parallel import sleeps\n"
        f"if __name__ == '__main__':\n    list(run_each(sleeps, {marks}, 2))\n"
    )
    here = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
    with subprocess.Popen([sys.executable, script], env={**os.environ, "PYTHONPATH": here}) as parent:
        until(lambda: all(Path(mark).exists() and Path(mark).read_text() for mark in marks))
        parent.kill()
    processes = [int(Path(mark).read_text()) for mark in marks]
    until(lambda: not any(runs(process) for process in processes))


@pytest.mark.skipif("forkserver" not in get_all_start_methods(), reason="needs a system that forks")
@pytest.mark.parametrize(
    ("needs", "before", "imports"),
    [
        ("from needed import process\n", "", 2),  # the parent, and what the others are forks of
        ("process = Named('needed', 'process')\n", "run_first(process, 0, 40, 4)", 1),
        (
            "process = Named('needed', 'process')\n",
            "preload('needed'); list(run_each(Named('os', 'nice'), [0, 0], 2))",
            1,
        ),
    ],
)
def test_what_a_function_needs_is_imported_once_for_all_processes(needs, before, imports, tmp_path):
    log = tmp_path / "imported"
    (tmp_path / "needed.py").write_text(
        "from pathlib import Path\nimport os, time\n"
        f"with Path({str(log)!r}).open('a') as file:\n    file.write(f'{{os.getpid()}}\\n')\n"
        "def process(number):\n    time.sleep(0.05)\n    return os.getpid()\n"
    )
    script = tmp_path / "parent.py"
    script.write_text(  # without a guard: the processes do not run it once more
        f"from polyscan.parallel import Named, preload, run_each, run_first\n{needs}{before}\n"
        "print(len({found for _, found in run_each(process, range(40), 4)}))\n"
    )
    here = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    environment = {**os.environ, "PYTHONPATH": here}
    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, check=True)
    assert int(done.stdout) > 1
    assert len(set(log.read_text().split())) == imports


@pytest.mark.parametrize("count", [1, 2])
def test_what_is_called_first_raises_what_it_is_for(count):
    assert run_first(inverse, 4, count) == 0.25
    with pytest.raises(PolyscanError, match="ZeroDivisionError"):
        run_first(inverse, 0, count, 2)


def runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return "Z (zombie)" not in Path(f"/proc/{process}/status").read_text()
