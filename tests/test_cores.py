from __future__ import annotations

import os
from pathlib import Path

import pytest

from polyscan.cores import free_cores, share_cores


@pytest.mark.parametrize(("load", "free"), [(0.1, 8), (5.2, 3), (20.0, 1)])
def test_threads_are_as_many_as_cores_are_free(load, free, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr(os, "getloadavg", lambda: (load, 0.0, 0.0))
    monkeypatch.setattr(Path, "exists", lambda _: False)
    assert free_cores() == free
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    assert free_cores() == min(free, 2)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    share_cores()
    assert os.environ["OMP_NUM_THREADS"] == str(min(free, 2))
    assert os.environ["OMP_WAIT_POLICY"] == "active", "what the user says goes first"


def test_threads_are_no_more_than_a_control_group_allows(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0))
    monkeypatch.setattr(Path, "exists", lambda _: True)
    monkeypatch.setattr(Path, "read_text", lambda _: "150000 100000")
    assert free_cores() == 2
