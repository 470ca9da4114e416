"""Settings that every test runs under.

Leans on hypothesis: no deadline, because two busy cores make any deadline a coin toss. Must never start anything
or read a file: a suite's own fixtures stand beside its tests.
"""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("relay", deadline=None, print_blob=True)
settings.load_profile("relay")
