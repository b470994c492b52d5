"""Runway's video models for videogen, and those of other makers that it hosts."""
