"""Tables that are part of the package: recipes, logged runs, published numbers."""

import tomllib
from importlib import resources
from typing import Any


def read_toml(package: str, name: str) -> dict[str, Any]:
    """The TOML file `name` of a package."""
    return tomllib.loads(resources.files(package).joinpath(name).read_text("utf-8"))
