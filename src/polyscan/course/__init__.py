"""A patient over time: how a tumour grows and responds, from the volumes of each visit."""

from polyscan.course.fit import fit_population
from polyscan.course.forecast import Forecast, forecast
from polyscan.course.population import Population
from polyscan.course.visits import Course, read_courses

__all__ = ["Course", "Forecast", "Population", "fit_population", "forecast", "read_courses"]
