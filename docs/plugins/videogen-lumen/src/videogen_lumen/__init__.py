"""Lumen's video models for videogen."""
