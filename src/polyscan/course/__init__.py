"""A patient over time: how a tumour grows and responds, from the volumes of each visit."""
