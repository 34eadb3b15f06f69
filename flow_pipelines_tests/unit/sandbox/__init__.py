"""Tests of the stand-ins themselves: a sandbox that is wrong makes every other test worthless."""
