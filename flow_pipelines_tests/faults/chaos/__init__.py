"""A thousand submissions while answers are lost and workers die."""
