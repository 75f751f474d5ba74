"""What a threshold and intervals of volumes promise is drawn again and again, and held on the others."""

from __future__ import annotations

import argparse
import json
import re
import sys

import numpy as np
import pytest
import torch
from prepared import BRAIN, SMALL_BRAIN, make_manifest, small_brain_network
from promises import THRESHOLDS, answers, main


def test_answers_are_of_every_subset_of_the_scans(tmp_path):
    torch.save(small_brain_network().state_dict(), tmp_path / "model.pt")
    (tmp_path / "small.json").write_text(json.dumps({"shared": SMALL_BRAIN}))
    manifest = make_manifest(BRAIN, tmp_path / "cohort")
    told = {"manifest": manifest, "weights": tmp_path / "model.pt", "config": str(tmp_path / "small.json")}
    found = answers(argparse.Namespace(bundle=str(BRAIN), **told))
    assert len(found) == 3 * 15
    whole, without = found["whole tumour 1111"], found["whole tumour 0111"]
    assert whole.shape == (6, 2, 1 + len(THRESHOLDS))  # one of seven has no mask
    assert np.isnan(whole[:, 0, 0]).sum() == 1  # and one no T1
    assert np.isfinite(without).all()
    known = np.isfinite(whole[:, 0, 0])
    assert np.array_equal(whole[known, 0, 0], without[known, 0, 0])
    assert (np.diff(whole[known, 1, 1:]) <= 0).all()


def test_what_is_promised_is_held_on_average(tmp_path, monkeypatch, capsys):
    """Of 200 patients a threshold t misses t of a region on average, and volumes are off by a fifth of their edge."""
    chance = np.random.default_rng(0)
    true = chance.uniform(5, 50, 200)
    found = np.ones((200, 2, 1 + len(THRESHOLDS)))
    found[:, 0] = true[:, None] * np.concatenate([[1.0], 1 - THRESHOLDS])
    found[:, 1] = (np.cbrt(true) * (1 + 0.2 * chance.standard_normal(200)))[:, None] ** 3
    np.savez(tmp_path / "answers.npz", **{"tumour 11": found, "tumour 01": found[::-1]})
    asked = ["--answers", str(tmp_path / "answers.npz"), "--draws", "100", "--validation", "60", "--risk", "0.2"]
    monkeypatch.setattr(sys, "argv", ["promises.py", "none.json", *asked])
    main()
    (threshold,), intervals = (
        [line for line in table.splitlines() if line.startswith("| tumour")]
        for table in capsys.readouterr().out.split("\n\n")
    )
    missed = float(threshold.split("|")[4].split()[0])
    assert 0.15 < missed <= 0.2
    assert threshold.split("|")[3].strip() == "0 %"
    assert len(intervals) == 3
    held = [float(value) for value in re.findall(r"0\.\d{3}", intervals[0])]
    assert held == pytest.approx([0.91, 0.91], abs=0.02)
