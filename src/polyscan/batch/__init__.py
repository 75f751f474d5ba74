"""Any number of studies from folder to answer, by any number of processes and machines."""

from polyscan.batch.run import Batch, batch, batch_status, run_study, watch, write_cohort

__all__ = ["Batch", "batch", "batch_status", "run_study", "watch", "write_cohort"]
