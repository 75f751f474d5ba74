"""``polyscan advise``: where and how to fuse on a cohort, from what it is like and from stored results on others."""

from polyscan.advise.advice import Advice, advise
from polyscan.advise.describe import Description, describe_images, describe_manifest, describe_vectors
from polyscan.advise.write import as_text, commands_of, write_advice

__all__ = [
    "Advice",
    "Description",
    "advise",
    "as_text",
    "commands_of",
    "describe_images",
    "describe_manifest",
    "describe_vectors",
    "write_advice",
]
