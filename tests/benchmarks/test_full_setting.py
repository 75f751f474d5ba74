"""The full setting on a CPU, where its memory was once told as nan."""

from __future__ import annotations

import math

from precision import full_setting


def test_a_step_and_an_answer_have_their_time_and_memory(capsys):
    full_setting("cpu", window=32, batch=1, volume=[32, 32, 40], compiling=False)
    name, *told = [cell.strip() for cell in capsys.readouterr().out.splitlines()[-1].strip("|").split("|")]
    assert name == "float32"
    assert len(told) == 4
    assert all(math.isfinite(float(value)) and float(value) > 0 for value in told)
