from polyscan.compare.cohort import Cohort as Cohort, load_cohort as load_cohort
from polyscan.compare.protocol import Protocol as Protocol, Strategy as Strategy, read_protocol as read_protocol
from polyscan.compare.run import compare as compare
from polyscan.compare.table import Row as Row, summarise as summarise
