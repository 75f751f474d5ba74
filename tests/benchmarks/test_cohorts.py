"""A part of a public cohort becomes a manifest from which no outcome can be read but in the labels."""

from __future__ import annotations

import csv
import sys

import nibabel
import numpy as np
import pytest
from cohorts import NAMES, find, main, make

from polyscan.bundle.items import training_items
from polyscan.compare import Protocol, load_cohort
from polyscan.errors import PolyscanError
from polyscan.files.atomic import read_json
from polyscan.study.manifest import read_manifest

RNG = np.random.default_rng(0)


def table(path, rows):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def lgg(folder, count=6):
    names = [f"TCGA-{k}" for k in range(count)]
    images = np.zeros((count, 3, 4, 20, 24), np.uint8)
    images[..., 3:17, 3:21] = RNG.integers(100, 200, (count, 3, 4, 14, 18))
    available = np.ones((count, 3), np.uint8)
    available[1, 2] = available[2, 0] = 0
    images[1, 2], images[2, 0] = images[1, 1], images[2, 1]
    lesion = np.zeros((count, 4, 20, 24), np.uint8)
    lesion[:, 1, 5:9, 6:10] = 1
    np.savez(folder / "part.npz", images=images, available=available, lesion=lesion, patient=np.array(names))
    clinical = [
        {
            "patient": n,
            "idh1_mutated": k % 2,
            "codel_1p19q": 0,
            "subtype": "s",
            "histology": "Astrocytoma",
            "grade": "G2",
        }
        | {"age": 30 + k, "sex": "MALE", "kps": "", "os_days": 100, "death01": 0, "lesion_px_all": 9, "cn_cluster": 1}
        for k, n in enumerate(names)
    ]
    genes = [
        {"patient": n, "IDH1_mut": k % 2, "TP53_mut": 1, "EGFR_cnv": -1, "CDK4_rnaseq": 0.5}
        for k, n in enumerate(names)
    ]
    genes[3] |= {"CDK4_rnaseq": ""}
    return [folder / "part.npz", table(folder / "c.csv", clinical), table(folder / "g.csv", genes)]


def multiomic(folder, count=6):
    names = np.array([f"P{k}" for k in range(count)])
    genes = {f"{s}_genes": np.array(["IDH1", "EGFR"]) for s in ("rna", "cnv", "mut")}
    values = {s: np.tile([1, 0], (count, 1)).astype(t) for s, t in (("rna", "f2"), ("cnv", "i1"), ("mut", "i1"))}
    np.savez(folder / "omics.npz", patient=names, **genes, **values)
    rows = [
        {"case_id": n, "age": 50, "is_female": 1.0, "oncotree_code": "GBM", "site": 2, "survival_months": 9, "event": 1}
        for n in names
    ]
    return [table(folder / "c.csv", rows), folder / "omics.npz"]


def picai(folder):
    rows = [
        {"patient_id": 10 + k // 2, "study_id": 100 + k, "patient_age": 60, "psa": 8.0, "psad": "", "center": "RUMC"}
        | {"lesion_PIRADS": "3,5", "case_csPCa": ("NO", "YES")[k % 2], "csPCa_lesion_ml": k, "csPCa_lesion_n": k}
        | {"lesion_GS": "3+4", "lesion_ISUP": "2", "case_ISUP": 2, "histopath_type": "MRBx", "gland_ml_ai": 40.0}
        for k in range(12)
    ]
    return [table(folder / "marksheet.csv", rows)]


def acdc(folder):
    names = np.array([f"patient{k:03}" for k in range(5)])
    images = RNG.integers(20, 200, (5, 2, 6, 16, 16), dtype=np.uint8)
    images[:, :, 4:] = 0
    labels = np.zeros_like(images)
    labels[:, 0, 1, 4:9, 4:9], labels[:, 1, 1, 5:8, 5:8] = 3, 3
    labels[:, 0, 1, 1:3, 1:3], labels[:, 0, 1, 10:12, 10:12] = 1, 2
    np.savez(folder / "part.npz", images=images, labels=labels, patient=names)
    rows = [{"patient": n, "group": ("DCM", "NOR")[k % 2], "lv_ed": 25, "lvef": 0.6} for k, n in enumerate(names)]
    return [folder / "part.npz", table(folder / "p.csv", rows)]


def pictures(folder):
    images = RNG.integers(0, 255, (12, 16, 16), dtype=np.uint8)
    classes = np.array(["glioma", "notumor"])
    np.savez(folder / "part.npz", images=images, labels=np.arange(12) % 2, classes=classes, group=np.arange(12) // 3)
    return [folder / "part.npz"]


def sarcoma(folder):
    images = RNG.normal(50, 20, (3, 3, 12, 12, 12)).astype(np.float16)
    images[0, 0, 0] = -1000
    gtv = np.zeros((3, 12, 12, 12), np.uint8)
    gtv[:, 4:8, 4:8, 4:8] = 1
    np.savez(folder / "patches.npz", images=images, gtv=gtv)
    names = ["STS_001", "STS_002", "STS_003"]
    rows = [{"id": n, "lung_metastasis": "1.0", "sex": "M", "age": "059Y", "suvmax_gtv": 7} for n in names]
    return [folder / "patches.npz", table(folder / "clinical.csv", rows)]


def sclerosis(folder):
    images = RNG.normal(100, 30, (1, 4, 12, 14, 10)).astype(np.float16)
    contrasts, names = np.array(["T1", "T1POST", "T2", "FLAIR"]), np.array(["patient07"])
    eighths = np.zeros((1, 12, 14, 10), np.uint8)
    eighths[0, 2, 3, 4] = 8
    np.savez(folder / "part.npz", images=images, contrasts=contrasts, patient=names, lesion_eighths=eighths)
    return [folder / "part.npz", table(folder / "i.csv", [{"patient_id": 7, "age": 31, "sex": "F", "edss": 0}])]


def pdgm(folder):
    rows = [
        {
            "ID": f"UCSF-PDGM-{k}",
            "Sex": "MF"[k % 2],
            "Age at MRI": 50 + k,
            "WHO CNS Grade": 4,
            "MGMT status": "positive",
        }
        | {"IDH": "wildtype", "label_idh_mut": k % 2, "label_grade4": 1, "OS": 900, "EOR": "GTR", "1p/19q": ""}
        | {"original_shape_Sphericity": 0.5, "original_firstorder_Mean": -3.0, "original_glcm_Contrast": 1e7 + k}
        for k in range(6)
    ]
    rows[2] |= {"MGMT status": "indeterminate", "original_shape_Sphericity": ""}
    return [table(folder / "radiomics.csv", rows)]


FORMS = {
    "lgg_mri": lgg,
    "tcga_glioma_multiomic": multiomic,
    "picai_tables_glands": picai,
    "acdc_ed_es": acdc,
    "images_2d": pictures,
    "sarcoma_ct_mr_pet": sarcoma,
    "ms_longitudinal": sclerosis,
    "ucsf_pdgm": pdgm,
}


def made(name, tmp_path, **options):
    """The manifest of a small part of a cohort's form."""
    files = FORMS[name](tmp_path)
    make(name, files, tmp_path / "out", jobs=1, **options)
    return read_manifest(tmp_path / "out" / "manifest.json")


def columns(study):
    """Every column that is an input of a study."""
    tables = [read_json(one.path) for one in study.scans.values() if one.path.endswith(".json")]
    return {*study.clinical, *(column for values in tables for column in values)}


def test_every_cohort_is_tried():
    assert sorted(FORMS) == NAMES


@pytest.mark.parametrize("name", sorted(FORMS))
def test_no_outcome_is_an_input(name, tmp_path):
    manifest, cohort = made(name, tmp_path), find(name)
    refused = {column for task in cohort.tasks for column in cohort.outcomes[task]}
    for study in manifest.studies:
        assert not columns(study) & refused
        assert set(study.label.tasks) <= set(cohort.tasks)
        assert study.fold is not None
    again = make(name, FORMS[name](tmp_path), tmp_path / "out", jobs=1)
    assert [s.key for s in again.studies] == [s.key for s in manifest.studies]


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("lgg_mri", "IDH1_mut"),
        ("lgg_mri", "histology"),
        ("lgg_mri", "cn_cluster"),
        ("picai_tables_glands", "csPCa_lesion_ml"),
        ("picai_tables_glands", "lesion_ISUP"),
        ("picai_tables_glands", "histopath_type"),
        ("acdc_ed_es", "patient"),
        ("tcga_glioma_multiomic", "survival_months"),
        ("ucsf_pdgm", "label_grade4"),
    ],
)
def test_an_outcome_is_refused_by_name(name, column, tmp_path):
    with pytest.raises(PolyscanError, match=rf"'{column}' is the outcome of .* refused"):
        made(name, tmp_path, inputs=[column])
    assert not (tmp_path / "out").exists()


def test_what_tells_one_task_may_be_an_input_of_another(tmp_path):
    study = made("lgg_mri", tmp_path, tasks=["grade"], inputs=["kps"]).training[0]
    assert "IDH1_mut" in columns(study)
    assert set(study.label.tasks) == {"grade"}
    with pytest.raises(PolyscanError, match="'IDH2' is no task"):
        made("lgg_mri", tmp_path, tasks=["IDH2"])


def test_a_copy_in_the_place_of_a_contrast_is_absent(tmp_path):
    studies = made("lgg_mri", tmp_path).studies
    assert [m for m in ("T1", "FLAIR", "T1c") if m in studies[1].scans] == ["T1", "FLAIR"]
    assert [m for m in ("T1", "FLAIR", "T1c") if m in studies[2].scans] == ["FLAIR", "T1c"]
    assert "expression" not in studies[3].scans
    mask = nibabel.load(studies[0].label.mask)
    assert mask.shape == (24, 20, 4)
    assert mask.get_fdata().sum() == 16
    assert {"study", "image", "label"} <= training_items(tmp_path / "out" / "manifest.json")[0].keys()


def test_a_part_without_truth_is_a_part_too(tmp_path):
    lgg(tmp_path)
    with np.load(tmp_path / "part.npz") as archive:
        np.savez(tmp_path / "images.npz", **{k: v for k, v in archive.items() if k != "lesion"})
    manifest = make("lgg_mri", [tmp_path / "images.npz"], tmp_path / "out", jobs=1)
    assert all(not study.label and not study.clinical for study in manifest.studies)
    with pytest.raises(PolyscanError, match=r"None of c\.csv has an array 'patient'"):
        make("lgg_mri", [tmp_path / "c.csv"], tmp_path / "other")


@pytest.mark.parametrize(
    ("name", "array", "change", "said"),
    [
        (
            "lgg_mri",
            "images",
            lambda values: values[:, :2],
            r"'images' has the form \(6, 2, 4, 20, 24\), where \(n, 3, ",
        ),
        ("lgg_mri", "lesion", lambda values: values[:5], r"\(5, 4, 20, 24\), where \(6, 4, 20, 24\) is expected"),
        ("lgg_mri", "lesion", lambda values: values * 255, "from 0 to 255, where whole ones from 0 to 1"),
        ("acdc_ed_es", "images", lambda values: values[:, :1], r"where \(n, 2, z, y, x\) is expected"),
        ("acdc_ed_es", "labels", lambda values: values + 1, "from 1 to 4, where whole ones from 0 to 3"),
        ("images_2d", "labels", lambda values: values - 1, "from -1 to 0, where whole ones from 0 to 1"),
        ("images_2d", "images", lambda values: values / 255, "whole ones from 0 to 255"),
        ("images_2d", "classes", lambda values: np.char.upper(values), "The classes of the part are GLIOMA"),
        ("tcga_glioma_multiomic", "rna_genes", lambda values: values[:1], r"\(1\), where \(2\) is expected"),
    ],
)
def test_arrays_of_another_form_are_refused(name, array, change, said, tmp_path):
    files = FORMS[name](tmp_path)
    archive = next(path for path in files if path.suffix == ".npz")
    with np.load(archive) as stored:
        np.savez(archive, **{**stored, array: change(stored[array])})
    with pytest.raises(PolyscanError, match=said):
        make(name, files, tmp_path / "out", jobs=1)
    assert not (tmp_path / "out" / "scans").exists()


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("idh1_mutated", "mutant", "idh1_mutated is 'mutant', where 0, 1 are known"),
        ("age", "about 40", "age is 'about 40', where a number is expected"),
        ("os_days", "long", "os_days is 'long', where a number"),
    ],
)
def test_a_cell_that_tells_nothing_known_is_refused(column, value, said, tmp_path):
    files = lgg(tmp_path)
    with files[1].open() as file:
        rows = list(csv.DictReader(file))
    rows[4][column] = value
    table(files[1], rows)
    with pytest.raises(PolyscanError, match=said):
        make("lgg_mri", files, tmp_path / "out", jobs=1)


def test_each_patient_is_taken_once(tmp_path):
    archive, clinical, _ = lgg(tmp_path)
    with pytest.raises(PolyscanError, match=r"^sub-TCGA0, sub-TCGA1, .* more than one study"):
        make("lgg_mri", [archive, archive, clinical], tmp_path / "out", jobs=1)
    again = table(tmp_path / "again.csv", [{"patient": "TCGA-0", "kps": 90}])
    assert len(make("lgg_mri", [archive, clinical, again], tmp_path / "joined", jobs=1).studies) == 6
    differing = table(tmp_path / "differing.csv", [{"patient": "TCGA-0", "idh1_mutated": 1}])
    with pytest.raises(PolyscanError, match=r"Two rows of TCGA-0 differ in idh1_mutated, the second in .*differing"):
        make("lgg_mri", [archive, clinical, differing], tmp_path / "out", jobs=1)
    nameless = table(tmp_path / "nameless.csv", [{"id": "TCGA-0"}])
    with pytest.raises(PolyscanError, match=r"nameless\.csv has no column 'patient'"):
        make("lgg_mri", [archive, nameless], tmp_path / "out", jobs=1)


def test_identifiers_may_be_bytes_or_look_like_numbers(tmp_path):
    archive, clinical, _ = lgg(tmp_path)
    with np.load(archive) as stored:
        np.savez(archive, **{**stored, "patient": np.array([f"00{k}".encode() for k in range(6)])})
    clinical.write_text(clinical.read_text().replace("TCGA-", "00").replace("age", "years"))
    studies = make("lgg_mri", [archive, clinical], tmp_path / "out", jobs=1).studies
    assert [(s.subject, s.label.tasks["IDH"]) for s in studies[:2]] == [("000", "wildtype"), ("001", "mutated")]


def test_a_patient_without_any_contrast_is_told_of(tmp_path):
    archive, clinical, _ = lgg(tmp_path)
    with np.load(archive) as stored:
        available = stored["available"].copy()
        available[0] = 0
        np.savez(archive, **{**stored, "available": available})
    manifest = make("lgg_mri", [archive, clinical], tmp_path / "out", jobs=1)
    assert [(each.study, each.reason.rpartition(": ")[2]) for each in manifest.failed] == [
        ("sub-TCGA0", "it has no scan")
    ]
    assert len(manifest.studies) == 5


def test_two_parts_are_one_cohort(tmp_path):
    (tmp_path / "ct").mkdir()
    files = [*pictures(tmp_path), *pictures(tmp_path / "ct")]
    with np.load(files[1]) as archive:
        np.savez(files[1], **{**archive, "classes": np.array(["benign", "malignant"])})
    studies = make("images_2d", files, tmp_path / "out", jobs=1).studies
    assert len(studies) == 24
    assert [s.label.tasks for s in (studies[0], studies[-1])] == [{"mri": "glioma"}, {"ct": "malignant"}]


def test_tables_of_two_parts_are_read_together(tmp_path):
    (tmp_path / "B").mkdir()
    table_a, omics_a = multiomic(tmp_path)
    table_b, omics_b = multiomic(tmp_path / "B")
    table_b.write_text(table_b.read_text().replace("P", "Q"))
    with np.load(omics_b) as archive:
        np.savez(omics_b, **{**archive, "patient": np.char.replace(archive["patient"], "P", "Q")})
    files = [table_a, omics_a, table_b, omics_b]
    studies = make("tcga_glioma_multiomic", files, tmp_path / "out", jobs=1).studies
    assert [(s.subject, "survival" in s.label.tasks) for s in (studies[0], studies[-1])] == [("P0", True), ("Q5", True)]


def test_it_says_how_many_have_each_label(tmp_path, monkeypatch, capsys):
    for name, said in {"lgg_mri": "mask (6), 1p19q (6), IDH (6), grade (6)", "images_2d": "labels: mri (12)"}.items():
        words = [name, *map(str, FORMS[name](tmp_path)), str(tmp_path / name), "--jobs", "1"]
        monkeypatch.setattr(sys, "argv", ["cohorts.py", *words])
        main()
        assert said in capsys.readouterr().out


def test_a_readers_score_is_taken_where_it_is_named(tmp_path):
    manifest = made("picai_tables_glands", tmp_path)
    assert not {"lesion_PIRADS", "lesion_PIRADS_count"} & columns(manifest.studies[0])
    named = make("picai_tables_glands", picai(tmp_path), tmp_path / "named", inputs=["lesion_PIRADS"]).studies[0]
    assert read_json(named.scans["reader"].path) == {"lesion_PIRADS": 5}
    assert read_json(named.scans["laboratory"].path)["log_psa"] == pytest.approx(np.log(8), abs=1e-4)
    assert "density" not in named.scans
    folds = {}
    for study in manifest.studies:
        folds.setdefault(study.subject, set()).add(study.fold)
    assert all(len(of_man) == 1 for of_man in folds.values())


def test_padding_is_cut_off_and_two_times_are_one_mask(tmp_path):
    study = made("acdc_ed_es", tmp_path).studies[0]
    mask = nibabel.load(study.label.mask).get_fdata()
    assert mask.shape == (16, 16, 4)
    assert [int((mask == v).sum()) for v in (3, 12, 15)] == [16, 0, 9]
    assert list(study.scans) == ["CINE@1", "CINE@2"]


def test_slices_that_look_alike_are_one_subject(tmp_path):
    manifest = made("images_2d", tmp_path)
    assert {s.subject for s in manifest.studies} == {f"MRI{k}" for k in range(4)}
    assert len({(s.subject, s.fold) for s in manifest.studies}) == 4
    assert manifest.studies[0].label.tasks == {"mri": "glioma"}


def test_values_of_the_sarcoma_pet_are_suv_whatever_they_are(tmp_path):
    manifest = made("sarcoma_ct_mr_pet", tmp_path)  # 50 on average, as no SUV is
    assert all("PET" in study.scans for study in manifest.studies)
    assert not any("PET" in study.problems for study in manifest.studies)


def test_examples_of_the_sarcoma_stand_apart(tmp_path):
    manifest = made("sarcoma_ct_mr_pet", tmp_path)
    assert [s.subject for s in manifest.testing] == ["STS002"]
    everyone = make("sarcoma_ct_mr_pet", sarcoma(tmp_path), tmp_path / "B", jobs=1, testing=True)
    assert [s.subject for s in everyone.tested] == ["STS001", "STS002", "STS003"]
    ct = nibabel.load(manifest.training[0].scans["CT"].path).get_fdata()
    assert np.isnan(ct[:, :, 0]).all()
    assert np.isfinite(ct[:, :, 1:]).all()


def test_rows_of_the_sarcoma_are_those_of_its_table(tmp_path):
    archive, clinical = sarcoma(tmp_path)
    with np.load(archive) as stored:
        arrays = dict(stored)
    told = {
        "label": (np.array([1, 0, 1]), "STS_002 is not row 1 of the archive"),
        "channels": (np.array(["PET", "T1", "CT"]), r"The channels are \['PET', 'T1', 'CT'\]"),
        "spacing": (np.array([2.0, 2.0, 2.0]), r"The spacing is \[2.0, 2.0, 2.0\]"),
    }
    for name, (values, said) in told.items():
        np.savez(archive, **arrays, **{name: values})
        with pytest.raises(PolyscanError, match=said):
            make("sarcoma_ct_mr_pet", [archive, clinical], tmp_path / "out", jobs=1)
    np.savez(archive, **{name: values[:2] for name, values in arrays.items()})
    with pytest.raises(PolyscanError, match="not name its 2 patients, and the tables tell of 3"):
        make("sarcoma_ct_mr_pet", [archive, clinical], tmp_path / "out", jobs=1)


def test_folds_that_are_asked_for_are_drawn_where_a_cohort_has_its_own(tmp_path):
    assert [s.fold for s in made("sarcoma_ct_mr_pet", tmp_path).studies] == [0, 2, 1]
    assert {s.fold for s in made("sarcoma_ct_mr_pet", tmp_path, folds=2).studies} == {0, 1}
    for folds in (0, 1):
        with pytest.raises(PolyscanError, match=f"{folds} folds are asked for; give 2 or more"):
            made("sarcoma_ct_mr_pet", tmp_path, folds=folds)


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        ("picai_tables_glands", "10,100,", ",100,", "Study 100 has no patient_id"),
        ("picai_tables_glands", ",8.0,", ",-999,", "psa is -999, where none is below 0"),
        ("picai_tables_glands", '"3,5"', "X", "lesion_PIRADS is 'X', where 1 to 5"),
        ("tcga_glioma_multiomic", ",9,", ",long,", "survival_months is 'long'"),
        ("tcga_glioma_multiomic", "P", "p", "The tables tell of none of the 6 patients, such as P0"),
    ],
)
def test_a_table_that_cannot_be_read_is_refused_and_not_left_out(name, old, new, said, tmp_path):
    files = FORMS[name](tmp_path)
    changed = next(path for path in files if path.suffix == ".csv")
    assert old in changed.read_text()
    changed.write_text(changed.read_text().replace(old, new))
    with pytest.raises(PolyscanError, match=said):
        make(name, files, tmp_path / "out")


def test_genes_that_were_not_recorded_are_absent_and_those_that_are_no_numbers_are_refused(tmp_path):
    files = multiomic(tmp_path)
    with np.load(files[1]) as archive:
        arrays = dict(archive)
    mutations = np.where(np.arange(6)[:, None] > 0, arrays["mut"].astype(float), np.nan)
    np.savez(files[1], **{**arrays, "mut": mutations})
    first, second, *_ = make("tcga_glioma_multiomic", files, tmp_path / "out", tasks=["survival", "IDH"]).studies
    assert (set(first.scans), set(first.label.tasks)) == ({"copy_number", "expression"}, {"survival"})
    assert (set(second.scans), second.label.tasks["IDH"]) == ({"copy_number", "expression", "mutations"}, "mutated")
    for values in (np.full((6, 2), "high"), np.full((6, 2), np.inf)):
        np.savez(files[1], **{**arrays, "rna": values})
        with pytest.raises(PolyscanError, match="'rna' holds more than finite numbers"):
            make("tcga_glioma_multiomic", files, tmp_path / "other")


def test_scores_are_read_from_a_table_with_decimal_commas(tmp_path):
    (file,) = picai(tmp_path)
    file.write_text(file.read_text().replace('"3,5"', "3.5").replace(",", ";").replace(".", ","))
    named = ["lesion_PIRADS", "lesion_PIRADS_second"]
    study = make("picai_tables_glands", [file], tmp_path / "out", inputs=named).studies[0]
    assert read_json(study.scans["reader"].path) == {"lesion_PIRADS": 5, "lesion_PIRADS_second": 3}
    assert read_json(study.scans["laboratory"].path)["psa"] == 8.0


def test_tables_are_compared_as_they_were_written(tmp_path):
    """Without the scans; what was measured in a drawn tumour where it is named."""
    made("ucsf_pdgm", tmp_path)
    told = {"manifest": "manifest.json", "config": "tables.json", "target": "IDH"}
    cohort = load_cohort(Protocol(told, {}, root=str(tmp_path / "out")))
    assert cohort.modalities == ["clinical", "intensity", "shape", "texture"]
    assert cohort.y.tolist() == [1, 0] * 3 == [cohort.classes.index(name) for name in ["wildtype", "mutated"] * 3]
    assert cohort.x[:, 3, 0].tolist() == [1e7 + k for k in range(6)]
    assert cohort.x[:, 2].isfinite().any(1).tolist() == [True, True, False, True, True, True]
    age, sex = read_json(tmp_path / "out" / "tables.json")["shared"]["tables"]["clinical"].values()
    assert (age, sex) == ([52.5, round(np.std(range(6)), 4)], ["F", "M"])
    assert read_manifest(tmp_path / "out" / "manifest.json").studies[2].label.tasks.keys() == {"IDH", "grade"}
    files = sarcoma(tmp_path)
    plain = make("sarcoma_ct_mr_pet", files, tmp_path / "plain", ["metastasis"], tables=True).studies
    named = make("sarcoma_ct_mr_pet", files, tmp_path / "named", ["metastasis"], ["suvmax_gtv"], tables=True).studies
    assert not plain[0].scans
    assert read_json(named[0].scans["measured_PET"].path) == {"suvmax_gtv": 7}
    assert all(study.label.mask is None for study in plain)
    with pytest.raises(PolyscanError, match="'suvmax_gtv' is the outcome of tumour"):
        make("sarcoma_ct_mr_pet", files, tmp_path / "no", ["tumour"], ["suvmax_gtv"], tables=True)
