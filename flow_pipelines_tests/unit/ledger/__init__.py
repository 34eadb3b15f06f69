"""The ledger's parts, one by one."""
