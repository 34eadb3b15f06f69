"""One suite that the ledger passes on every database."""
