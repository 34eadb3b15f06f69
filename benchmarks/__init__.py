"""Ours against a named alternative, as ratios in one run: `make bench`."""
