"""Guards of what we promise are taken out, one at a time, to see which tests notice."""
