"""Callbacks: from a provider's POST to a submission that is due, and everything in between."""
