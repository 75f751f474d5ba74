"""Which files are which scan of which study, and why."""
