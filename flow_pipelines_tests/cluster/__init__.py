"""Two hosts, one ledger: a cluster of network namespaces on one machine, and what is done to it.

`python -m flow_pipelines_tests.cluster` runs all scenarios and prints a table; see `make cluster`.
"""
