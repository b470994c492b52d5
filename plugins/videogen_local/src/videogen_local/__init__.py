"""Open video models on the user's own machine, or on servers of theirs, for videogen."""
