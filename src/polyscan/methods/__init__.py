"""The methods section of a paper, from the records of what was run."""

from polyscan.methods.write import methods_text, write_methods

__all__ = ["methods_text", "write_methods"]
