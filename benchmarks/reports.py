"""What reports teach a network of scans: the right report among 100, and a linear probe with few labels.

    python benchmarks/reports.py [--subjects 1000] [--tested 300] [--seeds 3] [--steps 700] [--labelled 20] [--draws 20]

Made heads (``polyscan.phantom``) as T1c and FLAIR of 8 mm, registered, z-scored, and a report of each
(``polyscan.phantom.radiology_report``: side, lobe, size, enhancement, oedema), as the vector of tf-idf of its words and
pairs of words. The network is that of ``glioma_grading_classification``, smaller; it learns by ``TableContrast`` alone,
without a label, or by ``Contrastive`` of the two scans, or not at all. Then it is left as it is:

- right report among 100: the tested subjects in hundreds; the report nearest to the scans is that of the subject. "At
  best" is what can be had, as reports of one content cannot be told from each other. Printed beside, of the subjects
  that were learnt from and of those tested: how often the nearest report names the right place, the right sizes (to
  within 5 mm), and rightly whether the tumour enhances, and how often a report of another subject does; and how surely
  T1c tells whether it enhances: its mean in the tumour, whose place is known here, and its value where FLAIR is
  brightest (a softmax of 12 or 4 times FLAIR, both scans blurred), which nobody need know;
- linear probe: logistic regression on what ``TableContrast`` reads of the scans, or on the 64 numbers that it compares,
  tells high grade, which no report names, from so many labelled subjects; AUROC on the tested, the mean over draws of
  the labelled. "At best" is that of enhancement and size, read from the truth, by as many labels as there are.

In brackets the 95 % interval of Student's t over seeds, each of another division of the heads and another training; of
the probe, that of the difference from the network that was not trained.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from scipy.ndimage import gaussian_filter
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from polyscan.evaluation.statistics import auroc
from polyscan.fusion import Concatenation
from polyscan.fusion.table import DAFT, VectorToken
from polyscan.networks import CachedFeatures, FusionNet, MulticlassHead, TableNet, UNetEncoder
from polyscan.objectives import Contrastive, TableContrast
from polyscan.phantom.radiology_report import place, radiology_report
from polyscan.phantom.scanner import Grid, mri
from polyscan.phantom.subject import Subject, make_subject, stream

CONTRASTS, SPACING, SHAPE = ("T1c", "FLAIR"), 8.0, (18, 24, 18)
GRID = Grid(np.diag([SPACING] * 3 + [1.0]), SHAPE)
GRID.affine[:3, 3] = -SPACING * (np.array(SHAPE) - 1) / 2 + [0, 0, 12]
BATCH, HUNDRED = 64, 100
UNTRAINED, IMAGES, REPORTS = "not trained", "from the other scan (Contrastive)", "from reports (TableContrast)"


def scans_of(subject: Subject) -> NDArray[np.float32]:
    """(contrast, x, y, z), each z-scored."""
    made = [
        mri(subject.anatomy, m, GRID, np.eye(4), stream(subject.seed, subject.number, "noise", m)).values
        for m in CONTRASTS
    ]
    return np.stack([(scan - scan.mean()) / scan.std() for scan in made]).astype(np.float32)


def brightness(subject: Subject, scans: NDArray[np.float32]) -> float:
    """The mean of T1c in the solid part of the tumour, half a voxel about it included."""
    points = np.moveaxis(np.indices(SHAPE), 0, -1) * SPACING + GRID.affine[:3, 3]
    inside = np.linalg.norm(points - subject.tumour.centre, axis=-1) < subject.tumour.core + SPACING / 2
    return float(scans[0][inside].mean())


def where_flair_is_bright(scans: NDArray[np.float32], sharpness: float) -> float:
    """T1c where FLAIR is brightest, the mean over all places by a softmax of FLAIR; both are blurred."""
    weight = np.exp(sharpness * gaussian_filter(scans[1], 1.2))
    return float((weight * gaussian_filter(scans[0], 0.8)).sum() / weight.sum())


def content(subject: Subject) -> tuple[str, int, int, bool]:
    """What a report says, however it is worded."""
    return (
        place(subject),
        round(2 * subject.tumour.core / 5),
        round(2 * subject.tumour.oedema / 5),
        subject.tumour.enhances,
    )


def network(words: int) -> TableNet:
    encoder = partial(UNetEncoder, channels=(8, 16), norm="batch", stem_stride=2)
    head = partial(MulticlassHead, tasks={"grade": ["low", "high"]}, dropout=0.0)
    return TableNet(FusionNet(CONTRASTS, encoder, [0], Concatenation, head), VectorToken(words, 64), DAFT)


def learn(net: TableNet, objective: Contrastive | TableContrast, scans: Tensor, reports: Tensor, steps: int) -> None:
    """Train a network by an objective alone."""
    net.train()
    parameters = [*net.parameters(), *objective.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=3e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    for step in range(steps):
        if step % (len(scans) // BATCH) == 0:
            rows = iter(torch.randperm(len(scans)).split(BATCH))
        of_step = next(rows)
        image = scans[of_step]
        moved = [int(n) for n in torch.randint(-1, 2, (3,))]
        optimizer.zero_grad()
        loss = objective(CachedFeatures.of(net, image.roll(moved, (2, 3, 4)), [reports[of_step]]))
        loss.backward()
        optimizer.step()
        schedule.step()
    print(f"loss {float(loss.detach()):.2f}, {np.log(BATCH):.2f} by chance")
    net.eval()


@torch.inference_mode()
def read(net: TableNet, probe: TableContrast, scans: Tensor, reports: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Features of the scans (subject, feature), and the points that are compared, (subject, width) each."""
    each = []
    for image, table in zip(scans.split(BATCH), reports.split(BATCH), strict=True):
        encoded = CachedFeatures.of(net, image, [table])
        each.append((probe.features(encoded), *probe.points(encoded)[:2]))
    features, of_scans, of_reports = (torch.cat(part) for part in zip(*each, strict=True))
    return features, of_scans, of_reports


def nearest_of_100(scans: Tensor, reports: Tensor) -> Tensor:
    """(subject,) whose report is the nearest to each one's scans among those of a hundred."""
    hundreds = zip(scans.split(HUNDRED), reports.split(HUNDRED), strict=True)
    return torch.cat([k * HUNDRED + (a @ b.T).argmax(1) for k, (a, b) in enumerate(hundreds)])


def agreement(subjects: Sequence[Subject], others: Sequence[Subject]) -> str:
    """How often what is said of one subject holds of another."""
    pairs = [(content(a), content(b)) for a, b in zip(subjects, others, strict=True)]
    shares = {
        "place": np.mean([a[0] == b[0] for a, b in pairs]),
        "core": np.mean([abs(a[1] - b[1]) <= 1 for a, b in pairs]),
        "oedema": np.mean([abs(a[2] - b[2]) <= 1 for a, b in pairs]),
        "enhancement": np.mean([a[3] == b[3] for a, b in pairs]),
    }
    return ", ".join(f"{name} {share:.2f}" for name, share in shares.items())


def at_best(subjects: Sequence[Subject]) -> float:
    """What a reader who sees all that reports say would find, guessing among reports that say the same."""
    shares = []
    for start in range(0, len(subjects), HUNDRED):
        said = [content(subject) for subject in subjects[start : start + HUNDRED]]
        alike = Counter(said)
        shares += [1 / alike[each] for each in said]
    return float(np.mean(shares))


def probed(features: NDArray[np.float32], grade: NDArray[np.int64], pool: int, labelled: int, draws: int) -> float:
    """AUROC behind the first ``pool`` subjects, by a probe of some of these, the mean over draws."""
    scores = []
    for draw in range(draws):
        chance = np.random.default_rng(draw)
        rows = chance.permutation(pool)[:labelled]
        while len(set(grade[rows])) < 2:
            rows = chance.permutation(pool)[:labelled]
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000)).fit(
            features[rows], grade[rows]
        )
        scores.append(auroc(model.predict_proba(features[pool:])[:, 1], grade[pool:] == 1))
    return float(np.mean(scores))


def run(
    subjects: Sequence[Subject], scans: Tensor, seed: int, options: argparse.Namespace
) -> dict[str, tuple[float, float, float]]:
    """Way to learn to the share of reports that are found, and the AUROC of both probes."""
    order = np.random.default_rng(seed).permutation(len(scans))
    subjects, scans = [subjects[n] for n in order], scans[order]
    written = [radiology_report(subject) for subject in subjects]
    vectors = TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"\w+", min_df=2).fit(written[: options.subjects])
    reports = torch.as_tensor(vectors.transform(written).toarray(), dtype=torch.float32)
    grade = np.array([subject.grade for subject in subjects])
    learnt, tested = slice(options.subjects), slice(options.subjects, None)
    true = np.array([[s.tumour.enhances, s.tumour.core, s.tumour.oedema] for s in subjects], dtype=np.float32)
    at_most = probed(true, grade, options.subjects, options.subjects, 1)
    found = {"at best": (at_best(subjects[options.subjects :]), at_most, at_most)}
    for name in (UNTRAINED, IMAGES, REPORTS):
        start = time.perf_counter()
        torch.manual_seed(seed)
        net = network(reports.shape[1])
        compare = TableContrast(net)
        objective = Contrastive(net.network) if name == IMAGES else compare
        if name != UNTRAINED:
            learn(net, objective, scans[learnt], reports[learnt], options.steps)
        features, of_scans, of_reports = read(net.eval(), compare, scans, reports)
        for part in (learnt, tested):
            near = nearest_of_100(of_scans[part], of_reports[part])
            share, own = float((near == torch.arange(len(near))).float().mean()), subjects[part]
            print(f"right report {share:.3f}; {agreement(own, [own[k] for k in near])}")
        print(f"by chance: {agreement(own, [*own[1:], own[0]])}")
        of_features, of_points = (
            probed(read_off.numpy(), grade, options.subjects, options.labelled, options.draws)
            for read_off in (features, of_scans)
        )
        found[name] = share, of_features, of_points
        told = f"{share:.3f}, probes {of_features:.3f} and {of_points:.3f}"
        print(f"seed {seed}, {name}: {told}, {time.perf_counter() - start:.0f} s", flush=True)
    return found


def interval(values: NDArray[np.float64], show: Callable[[float], str]) -> str:
    """The 95 % interval of the mean over seeds."""
    if len(values) < 2:
        return ""
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
    return f" ({show(values.mean() - half)} to {show(values.mean() + half)})"


def main() -> None:
    """Print a row for each way to learn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subjects", type=int, default=1000)
    parser.add_argument("--tested", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=700)
    parser.add_argument("--labelled", type=int, default=20)
    parser.add_argument("--draws", type=int, default=20)
    options = parser.parse_args()
    torch.set_num_threads(1)
    subjects = [make_subject(n + 1, 10) for n in range(options.subjects + options.tested)]
    made = np.stack([scans_of(subject) for subject in subjects])
    bright = np.array([brightness(*each) for each in zip(subjects, made, strict=True)])
    enhances = np.array([subject.tumour.enhances for subject in subjects])
    print(f"whether a tumour enhances, by the mean of T1c in it: AUROC {auroc(bright, enhances):.3f}")
    for sharpness in (12.0, 4.0):
        read_off = np.array([where_flair_is_bright(scan, sharpness) for scan in made])
        print(f"by T1c where FLAIR is brightest, {sharpness:g}: {auroc(read_off, enhances):.3f}")
    scans = torch.as_tensor(made)
    seeds = [run(subjects, scans, seed, options) for seed in range(options.seeds)]
    print("\n| learnt | right report among 100 | probe of what is read | of what is compared |\n|---|---|---|---|")
    values = {name: np.array([found[name] for found in seeds]).T for name in seeds[0]}
    for name, (share, *probes) in values.items():
        cells = [f"{share.mean():.3f}" + interval(share, "{:.3f}".format)]
        for probe, base in zip(probes, values[UNTRAINED][1:], strict=True):
            gain = "" if name == UNTRAINED else interval(probe - base, "{:+.3f}".format)
            cells.append(f"{probe.mean():.3f}{gain}")
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
