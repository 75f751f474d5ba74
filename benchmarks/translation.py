"""Translate T1 to CT, learnt from heads of whom none has both, and train a network for both on what comes of it.

    python benchmarks/translation.py OUT [--heads 40] [--tested 12] [--steps 1000] [--seeds 2] [--picture FILE]

Made heads (``polyscan.phantom``) on a grid of 4 mm: half of those to learn from have a T1 alone, the others a CT alone;
those tested have both. Beside the translator (``polyscan.translation``, slice by slice) stand the same without the loss
of structure; what is done without a network, one CT number for all that is not air; and the same generator trained on
true pairs, which is the most that can be hoped for. Errors in HU over the voxels that are air, soft tissue or bone in
the CT, and Dice of each, means over the tested heads; in brackets the standard deviation over seeds.

Then a segmentation of the tumour that fuses CT and T1, trained on the heads as they come (each with one of two), with
pseudo-pairs, whose lacking scan is translated, and with true pairs: Dice over the tested heads.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

import numpy as np
import torch
from monai.data import MetaTensor
from monai.losses import DiceCELoss
from torch import Tensor

from polyscan.evaluation import dice
from polyscan.formats.nifti import read_nifti, write_nifti
from polyscan.fusion import Mean
from polyscan.networks import FusionNet, SegmentationHead, UNetEncoder
from polyscan.phantom.scanner import Grid, ct, mri
from polyscan.phantom.subject import LABELS, make_subject, stream
from polyscan.phantom.tissues import NAMES
from polyscan.study import Study, scans_of
from polyscan.translation.fidelity import fidelity, mean_fidelity
from polyscan.translation.generator import ResNetGenerator
from polyscan.translation.learn import learn_translation
from polyscan.translation.translator import Intensities, Translation, Translator

SHAPE, SPACING, WINDOW = (48, 56, 40), 4.0, (48, 48)
SIZE = {"channels": 16, "blocks": 4}


def head(number: int, folder: Path) -> Study:
    """Write both scans of a head, and where its tumour is."""
    made = make_subject(number, 0)
    affine = np.diag([SPACING, SPACING, SPACING, 1.0])
    affine[:3, 3] = -SPACING * (np.array(SHAPE) - 1) / 2
    grid = Grid(affine, SHAPE)
    points = np.indices(SHAPE).reshape(3, -1).T * SPACING + affine[:3, 3]
    painted = np.array([LABELS.get(name, 0) for name in NAMES])[made.anatomy.fractions(points).argmax(0)]
    t1 = mri(made.anatomy, "T1", grid, np.eye(4), stream(0, number, "noise", "T1")).values
    values = {
        "CT": ct(made.anatomy, grid, np.eye(4), stream(0, number, "noise", "CT")).values,
        "T1": (t1 - t1.mean()) / t1.std(),
        "mask": painted.reshape(SHAPE) > 0,
    }
    files = {name: folder / f"{number}_{name}.nii.gz" for name in values}
    for name, file in files.items():
        write_nifti(
            file, MetaTensor(torch.from_numpy(values[name].astype(np.float32))[None], affine=torch.tensor(affine))
        )
    return Study(str(number), scans=scans_of({name: str(files[name]) for name in ("CT", "T1")}))


def only(study: Study, name: str) -> Study:
    """The study with one of its scans."""
    return Study(study.subject, scans={name: study.scans[name]})


def image(study: Study, name: str) -> MetaTensor:
    """A scan of a study (1, x, y, z); ``mask`` lies beside its scans."""
    return read_nifti(study.scans["CT"].path.replace("_CT", f"_{name}"))


def trained_on_pairs(studies: list[Study], unpaired: Translator, steps: int, seed: int) -> Translator:
    """The same generator trained on slices of true pairs, by the L1 distance."""
    torch.manual_seed(seed)
    generator = ResNetGenerator(2, **SIZE)
    optimizer = torch.optim.Adam(generator.parameters(), lr=2e-4)
    read, written = unpaired.intensities
    pairs = [(read.scaled(image(s, "T1").as_tensor()), written.scaled(image(s, "CT").as_tensor())) for s in studies]
    chance = np.random.default_rng(seed)
    for _ in range(steps):
        source, target = pairs[chance.integers(len(pairs))]
        at = torch.from_numpy(chance.integers(SHAPE[2], size=4))
        a, b = (each[0, :, :, at].permute(2, 0, 1)[:, None] for each in (source, target))
        optimizer.zero_grad()
        (generator(a) - b).abs().mean().backward()
        optimizer.step()
    return Translator(unpaired.translation, unpaired.intensities, (generator, generator), "")


def bulk(t1: MetaTensor, air: float) -> np.ndarray:
    """CT numbers without a network: water where the T1 is brighter than air, which is darkest."""
    values = t1[0].numpy()
    return np.where(values > air, 20.0, -1000.0)


def dice_of_fusion(studies: list[Study], scans: list[Tensor], tested: list[Study], scale: list[Intensities], seed: int):
    """Train a network that fuses CT and T1 at four levels on slices of scans (2, x, y, z); test it on true pairs."""
    torch.manual_seed(seed)
    encoder = partial(UNetEncoder, channels=(8, 16, 32, 64))
    network = FusionNet(["CT", "T1"], encoder, [0, 1, 2, 3], Mean, SegmentationHead, spatial_dims=2)
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
    loss, masks = DiceCELoss(sigmoid=True, batch=True), [image(study, "mask").as_tensor() for study in studies]
    chance = np.random.default_rng(seed)
    steps = 600
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, steps)
    for _ in range(steps):
        rows = [(chance.integers(len(scans)), chance.integers(SHAPE[2])) for _ in range(8)]
        batch = torch.stack([scans[n][..., z] for n, z in rows])
        truth = torch.stack([masks[n][..., z] for n, z in rows])
        optimizer.zero_grad()
        loss(network(batch), truth).backward()
        optimizer.step()
        schedule.step()
    network.eval()
    found = []
    with torch.inference_mode():
        for study in tested:
            stacked = stack(study, scale).permute(3, 0, 1, 2)
            predicted = network(stacked)[:, 0].permute(1, 2, 0) > 0
            true = image(study, "mask")[0].as_tensor() > 0
            found.append(dice(predicted, true))
    return float(np.mean(found))


def stack(study: Study, scale: list[Intensities]) -> Tensor:
    """CT and T1 (2, x, y, z) from -1 to 1; one that the study lacks is NaN."""
    return torch.cat(
        [
            each.scaled(read_nifti(study.scans[name].path).as_tensor())
            if name in study.scans
            else torch.full((1, *SHAPE), float("nan"))
            for name, each in zip(("CT", "T1"), scale, strict=True)
        ]
    )


def draw(translator: Translator, studies: list[Study], file: Path) -> None:
    """A slice of each study: T1, the CT made of it, the CT, and the T1 made of that."""
    import matplotlib.pyplot as plt

    figure, rows = plt.subplots(len(studies), 4, figsize=(9, 2.7 * len(studies)))
    for row, study in zip(rows, studies, strict=True):
        t1, acquired = image(study, "T1"), image(study, "CT")
        ct_of, t1_of = translator.translate(t1, "T1"), translator.translate(acquired, "CT")
        shown = {"T1": t1, "CT made of it": ct_of, "CT": acquired, "T1 made of that": t1_of}
        for axes, (name, values) in zip(row, shown.items(), strict=True):
            low, high = (-200, 300) if name.startswith("CT") else (-1, 3)
            axes.imshow(values[0, :, :, SHAPE[2] // 2].numpy().T, origin="lower", cmap="gray", vmin=low, vmax=high)
            axes.set_title(name)
            axes.axis("off")
    figure.tight_layout()
    figure.savefig(file, dpi=80)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    for name, default in (("heads", 40), ("tested", 12), ("steps", 1000), ("seeds", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--picture", type=Path, help="draw a slice of two tested heads, and what is made of it")
    options = parser.parse_args()
    every = [head(number, options.out / "heads") for number in range(1, options.heads + options.tested + 1)]
    pairs, tested = every[: options.heads], every[options.heads :]
    half = options.heads // 2
    single = [*(only(study, "T1") for study in pairs[:half]), *(only(study, "CT") for study in pairs[half:])]
    translation = Translation(("T1", "CT"), "made", WINDOW, **SIZE)
    scores, fused = {}, {}
    for seed in range(options.seeds):
        learn = partial(learn_translation, single, translation, steps=options.steps, seed=seed)
        translator = learn(options.out / f"seed{seed}")
        if options.picture is not None and seed == 0:
            draw(translator, tested[:2], options.picture)
        other = learn(options.out / f"seed{seed}-plain", structure_weight=0.0)
        paired = trained_on_pairs(pairs, translator, options.steps, seed)
        air = float(np.quantile(np.concatenate([image(s, "T1").numpy().ravel() for s in pairs[:half]]), 0.5))
        made = {
            "one CT number": [bulk(image(study, "T1"), air) for study in tested],
            **{
                name: [each.translate(image(study, "T1"), "T1")[0].numpy() for study in tested]
                for name, each in (("unpaired, without structure", other), ("unpaired", translator), ("paired", paired))
            },
        }
        for name, images in made.items():
            each = [fidelity(found, image(s, "CT")[0].numpy(), "HU") for found, s in zip(images, tested, strict=True)]
            scores.setdefault(name, []).append(mean_fidelity(each))
        scale = [translator.intensities[1], translator.intensities[0]]
        alone = [stack(study, scale) for study in single]
        filled = [
            torch.cat([scale[0].scaled(translator.translate(image(s, "T1"), "T1").as_tensor()), alone[n][1:]])
            if n < half
            else torch.cat([alone[n][:1], scale[1].scaled(translator.translate(image(s, "CT"), "CT").as_tensor())])
            for n, s in enumerate(pairs)
        ]
        ways = {"as they come": alone, "pseudo-pairs": filled, "both": [*alone, *filled]}
        ways["true pairs"] = [stack(study, scale) for study in pairs]
        for name, scans in ways.items():
            studies = pairs * (len(scans) // len(pairs))
            fused.setdefault(name, []).append(dice_of_fusion(studies, scans, tested, scale, seed))
    print("| T1 to CT | " + " | ".join(f"{t}, HU | Dice" for t in scores["paired"][0]) + " |")
    for name, seeds in scores.items():
        cells = []
        for tissue in seeds[0]:
            for what, form in (("error", ".0f"), ("dice", ".3f")):
                values = [getattr(seed[tissue], what) for seed in seeds]
                cells.append(f"{np.mean(values):{form}} ({np.std(values):{form}})")
        print(f"| {name} | " + " | ".join(cells) + " |")
    print("\n| trained on | Dice of the tumour |")
    for name, values in fused.items():
        print(f"| {name} | {np.mean(values):.3f} ({np.std(values):.3f}) |")


if __name__ == "__main__":
    main()
