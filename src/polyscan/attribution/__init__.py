"""Where in the scans an answer comes from, and whether that can be believed."""
