"""Simulate Amazon SWF: in process, in full, and as strictly as SWF itself."""
