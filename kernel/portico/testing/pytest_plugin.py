"""The pytest plugin of the author kit: fixtures that import the kit only when a test asks for one.

pytest loads this module in every run of an environment that has Portico installed, so it imports
nothing but pytest itself.
"""

from __future__ import annotations

import pytest

__all__: list[str] = []

_ = pytest
