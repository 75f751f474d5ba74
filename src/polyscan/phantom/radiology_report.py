"""What a radiologist would write of a made head: sentences from its truth, worded by chance."""

from __future__ import annotations

from collections.abc import Sequence

from polyscan.phantom.subject import Subject, stream


def radiology_report(subject: Subject) -> str:
    """Describe the tumour: side, lobe, size, enhancement and oedema; the same subject is described in the same words.

    The lobe follows from the centre in the head's own millimetres, coarsely: frontal in front of 8 mm, behind it
    parietal above 18 mm, below temporal in front of -20 mm and occipital behind. Sizes are diameters, rounded to 5 mm.
    Neither grade nor age, which are not seen, are written.

    Example:
        >>> from polyscan.phantom.subject import make_subject
        >>> radiology_report(make_subject(1, seed=0))
        'There is a lesion in the left occipital lobe. The solid part is 25 mm wide. After contrast its rim enhances. \
With its oedema it is 45 mm wide.'
    """
    tumour, chance = subject.tumour, stream(subject.seed, subject.number, "report")
    core, whole = (5 * round(2 * radius / 5) for radius in (tumour.core, tumour.oedema))

    def one_of(words: Sequence[str]) -> str:
        return words[int(chance.integers(len(words)))]

    sentences = [
        f"{one_of(['There is a', 'The scans show a', 'Findings: a'])} {one_of(['mass', 'lesion', 'tumour'])} in the "
        f"{place(subject)} lobe.",
        one_of([f"It measures {core} mm.", f"Its diameter is about {core} mm.", f"The solid part is {core} mm wide."]),
        one_of(["After contrast its rim enhances.", "There is ring enhancement.", "It takes up contrast at its rim."])
        if tumour.enhances
        else one_of(["It does not enhance.", "There is no uptake of contrast.", "No enhancement is seen."]),
        one_of(
            [
                f"It is surrounded by oedema, about {whole} mm across.",
                f"Oedema reaches over {whole} mm.",
                f"With its oedema it is {whole} mm wide.",
            ]
        ),
    ]
    return " ".join(sentences)


def place(subject: Subject) -> str:
    """Side and lobe of the tumour, such as ``left frontal``."""
    x, y, z = subject.tumour.centre
    back = "parietal" if z > 18 else "temporal" if y > -20 else "occipital"
    return f"{'right' if x > 0 else 'left'} {'frontal' if y > 8 else back}"
