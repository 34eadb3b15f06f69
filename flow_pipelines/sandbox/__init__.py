"""Stand-ins of the providers and a local bucket, on loopback unless told otherwise.

Nothing here imports the rest of the package: a stand-in that shared code with the client under
test would agree with its mistakes.
"""
