"""Simple models of the same studies, which a network must stand beside: regressions of tables, thresholds of scans."""
