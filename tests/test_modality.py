"""What a file of ``polyscan.modality`` may say, and that no modality takes the scans of another one."""

from __future__ import annotations

import re

import pytest

import polyscan.modality
from polyscan.dicom.words import told
from polyscan.modality import MODALITIES, Modality

NAMED = [name for name in MODALITIES if name != "CINE"]  # a cine is told by its frames, not by a word


@pytest.mark.parametrize("name", NAMED)
def test_a_modality_is_told_by_its_own_name(name):
    """One that is not has no alias for it, or another one's alias is found before."""
    for text in (name, name.lower(), f"ax_{name}_iso"):
        assert told(text).modality == name, text


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        (
            {"dicom": "PET"},
            "X has the DICOM Modality 'PET' and the unit 'arbitrary'; expected one of MR, CT, PT",
        ),
        ({"unit": "SUV"}, "the unit 'SUV'; expected one of MR, CT, PT and one of HU, SUVbw, arbitrary"),
        ({"name": "T1-w"}, "'T1-w' is no name of a modality: write letters, digits and _"),
        ({"aliases": "ute"}, r"X has the aliases 'ute'; write a tuple: \('ute',\)"),
        ({"aliases": (r"ute\W+", "UTE")}, "X has the alias 'UTE'; texts are in lower case: 'ute'"),
    ],
)
def test_a_mistake_is_said(said, sentence):
    with pytest.raises(ValueError, match=sentence):
        Modality(**{"name": "X", "dicom": "MR", "unit": "arbitrary", "suffix": "x", **said})
    with pytest.raises(re.error):
        Modality("X", "MR", "arbitrary", "x", aliases=("(ute",))


@pytest.mark.parametrize("what", ["name", "suffix"])
def test_two_of_one_name_or_suffix_are_refused(what, monkeypatch):
    own = Modality(**{"name": "UTE", "dicom": "MR", "unit": "arbitrary", "suffix": "UTE", what: "FLAIR"})
    monkeypatch.setattr(polyscan.modality.mr, "MODALITIES", (*polyscan.modality.mr.MODALITIES, own))
    with pytest.raises(ValueError, match=f"two modalities have the {what} FLAIR; each needs one of its own"):
        polyscan.modality._listed()
