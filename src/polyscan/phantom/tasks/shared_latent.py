"""Two long noisy views of one thing: what they have in common is what matters, and the least of what each shows."""

from polyscan.phantom.tasks.gaussian import GaussianTask

TASK = GaussianTask(
    "A class that moves what an image and genes have in common, beneath six stronger things that each shows alone.",
    {"image": 3.0, "genes": 3.0},
    {
        "evidence": {"image": 1.0, "genes": 1.0},
        **{f"{view} {k}": {view: 4.0} for view in ("image", "genes") for k in range(6)},
    },
    size=64,
)
