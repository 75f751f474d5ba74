"""An image and clinical variables, with a patient's age in both."""

from polyscan.phantom.tasks.gaussian import GaussianTask

TASK = GaussianTask(
    "Outcome from an image and clinical variables; age alters the image without telling the outcome.",
    {"image": 2.0, "clinical": 1.2},
    {"age": {"clinical": 3.0, "image": 3.0}},
)
