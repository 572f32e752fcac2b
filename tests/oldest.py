"""Constraints for the oldest dependencies that pyproject.toml allows: `python tests/oldest.py`.

Each lower bound there becomes an equality. What they need themselves is as new as they allow.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

__all__ = ["constraints"]


def constraints(text: str) -> list[str]:
    """A line `name==version` for each dependency and extra of pyproject.toml that has a lower bound."""
    project = tomllib.loads(text)["project"]
    extras = project["optional-dependencies"].values()
    needed = [*project["dependencies"], *(each for extra in extras for each in extra)]
    bounds = [re.match(r"([\w-]+)(?:\[.*\])?>=([\d.]+)", each) for each in needed]
    return sorted({f"{found[1]}=={found[2]}" for found in bounds if found})


if __name__ == "__main__":
    print("\n".join(constraints((Path(__file__).parents[1] / "pyproject.toml").read_text())))
