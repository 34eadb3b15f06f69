"""Prompt tables, templates, seeds, keys and workflow graphs: pure functions, no money, no clock.

Everything that a person writes is checked here, and told back with file, line and column, before
anything can be bought.
"""
