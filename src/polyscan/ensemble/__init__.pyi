from polyscan.ensemble.canonical_projection import CanonicalProjection as CanonicalProjection
from polyscan.ensemble.stacking import Stacking as Stacking
