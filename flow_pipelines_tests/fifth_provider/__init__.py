"""A provider that exists in these tests only: what adding one takes, and all that it takes."""
