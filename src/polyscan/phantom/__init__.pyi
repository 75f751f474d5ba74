from polyscan.phantom.cohort import make_cohort as make_cohort
from polyscan.phantom.slices import make_slices as make_slices
from polyscan.phantom.subject import MODALITIES as MODALITIES
