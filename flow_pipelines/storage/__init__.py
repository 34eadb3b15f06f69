"""The bucket: images that are never overwritten, tables, and who may buy for a batch."""
