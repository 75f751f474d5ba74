"""Of several series of one modality the usual one is taken, wherever it comes by its name."""

from __future__ import annotations

import pytest

from polyscan.discovery.scan import scan

SPIN = {"modality": "MR", "ScanningSequence": "SE", "RepetitionTime": 500, "EchoTime": 12}


@pytest.mark.parametrize(
    ("taken", "other", "why"),
    [
        (
            {"SeriesDescription": "4D CT AVG", "ImageType": ["DERIVED", "SECONDARY"]},
            {"SeriesDescription": "4D 0%"},
            "usual",
        ),
        ({}, {"SeriesDescription": "CorCTA 75.0 %"}, "usual"),
        ({}, {"SeriesDescription": "4D Phase 30"}, "usual"),
        ({}, {"NominalPercentageOfCardiacPhase": 75.0}, "usual"),
        ({"SeriesDescription": "Abd 50% ASIR"}, {"ImageType": ["DERIVED", "SECONDARY", "AXIAL"]}, "usual"),
        ({"SeriesDescription": "AR50% non-gated"}, {"ImageType": ["DERIVED", "SECONDARY", "AXIAL"]}, "usual"),
        ({"SeriesDescription": "ASIR-V 30%"}, {"ImageType": ["DERIVED", "SECONDARY", "AXIAL"]}, "usual"),
        ({}, {"ManufacturerModelName": "On-Board Imager", "PixelSpacing": [1, 1]}, "usual"),
        ({"SeriesDescription": "DE F_0.5"}, {"SeriesDescription": "DE A_80kV"}, "usual"),
        ({"SeriesDescription": "DE F_0.5"}, {"SeriesDescription": "DE B_Sn140kV"}, "usual"),
        ({}, {"Manufacturer": "Carestream Dental", "PixelSpacing": [1, 1]}, "usual"),
        ({"ConvolutionKernel": "B31f"}, {"ConvolutionKernel": "B70f"}, "softer kernel"),
        ({"ConvolutionKernel": ["Br40d", "3"]}, {"ConvolutionKernel": ["Bl57d", "3"]}, "softer kernel"),
        ({"ConvolutionKernel": "STANDARD"}, {"ConvolutionKernel": "BONEPLUS"}, "softer kernel"),
        ({"ConvolutionKernel": "I30f"}, {"ConvolutionKernel": "I70f"}, "softer kernel"),
        ({"ConvolutionKernel": "FC08"}, {"ConvolutionKernel": "FC51"}, "softer kernel"),
        (
            {**SPIN, "ImageType": ["ORIGINAL", "PRIMARY", "M", "DIS3D"]},
            {**SPIN, "ImageType": ["ORIGINAL", "PRIMARY", "M", "ND"]},
            "corrected for distortion",
        ),
        (SPIN, {**SPIN, "ImageType": ["DERIVED", "SECONDARY"], "PixelSpacing": [1, 1]}, "usual"),
    ],
)
def test_the_usual_one_is_taken(make_series, tmp_path, taken, other, why):
    make_series("ward/anna/a", **other)
    make_series("ward/anna/b", **taken)
    (study,) = scan(tmp_path / "ward").studies
    decisions = {decision.series: decision for decision in study.decisions}
    assert (decisions["anna/a"].taken, decisions["anna/b"].taken) == (False, True)
    assert why in decisions["anna/a"].reason


def test_finer_voxels_go_before_a_softer_kernel(make_series, tmp_path):
    make_series("ward/anna/a", ConvolutionKernel="B31f")
    make_series("ward/anna/b", ConvolutionKernel="B70f", PixelSpacing=[1, 1])
    (study,) = scan(tmp_path / "ward").studies
    assert study.scans["CT"].path.endswith("b")


def test_that_only_a_phase_is_there_is_said(make_series, tmp_path):
    for phase in (30, 75):
        make_series(f"ward/anna/{phase}", SeriesDescription=f"CorCTA {phase}%", NominalPercentageOfCardiacPhase=phase)
    (study,) = scan(tmp_path / "ward").studies
    (note,) = study.scans["CT"].notes
    assert note.startswith("it is one phase of a cycle or one of two energies")


@pytest.mark.parametrize(
    ("model", "said"),
    [("On-Board Imager", 1), ("O-arm O2", 1), ("CIOS Spin", 1), ("AXIOM-Artis", 1), ("SOMATOM Force", 0)],
)
def test_that_values_of_a_cone_beam_are_hardly_hounsfield_units_is_said(make_series, tmp_path, model, said):
    make_series("ward/anna/ct", ManufacturerModelName=model)
    (study,) = scan(tmp_path / "ward").studies
    assert len([note for note in study.scans["CT"].notes if "hardly Hounsfield units" in note]) == said
