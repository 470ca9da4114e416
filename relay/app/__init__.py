"""The use cases: load a snapshot, decide in the core, commit in one transaction.

Leans on the core and the ports. Never imports an adapter.
"""
