from polyscan.batch.folder import write_cohort as write_cohort
from polyscan.batch.one_study import run_study as run_study
from polyscan.batch.plan import Batch as Batch
from polyscan.batch.run import batch as batch
from polyscan.batch.status import batch_status as batch_status
from polyscan.batch.watching import watch as watch
