"""Measure this compendium against what its users would run instead: `make bench`."""
