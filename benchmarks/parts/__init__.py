"""Parts of public cohorts, a module a cohort, as ``benchmarks/cohorts.py`` reads them."""
