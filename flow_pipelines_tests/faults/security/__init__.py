"""Somebody who wants keys, pictures elsewhere, or money spent: each attack a test."""
