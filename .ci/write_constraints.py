"""Write down the versions that are installed and tested now.

`constraints.txt` holds what any extra but `dev` needs, `constraints-dev.txt` what `dev` adds to it. Both come from the
metadata of installed distributions, so nothing is downloaded, and what nobody requires is not written down.
"""

import re
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import Distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]


def direct(extra: str) -> list[str]:
    """Requirements of an extra of ours, and of the extras that it includes."""
    found = []
    for requirement in EXTRAS[extra]:
        ours = re.fullmatch(r"nigaoe\[(.+)\]", requirement)
        found += [r for name in ours[1].split(",") for r in direct(name)] if ours else [requirement]
    return found


def closure(requirements: Iterable[str], installed: dict[str, Distribution]) -> set[str]:
    """Canonical names of all that these requirements need on this machine."""
    found: set[str] = set()
    seen: set[tuple[str, str]] = set()
    queue = [Requirement(text) for text in requirements]
    while queue:
        requirement = queue.pop()
        name = str(canonicalize_name(requirement.name))
        found.add(name)
        for extra in {"", *requirement.extras} - {extra for known, extra in seen if known == name}:
            seen.add((name, extra))
            needs = [Requirement(text) for text in installed[name].requires or ()]
            queue += [need for need in needs if need.marker is None or need.marker.evaluate({"extra": extra})]
    return found


def main(folder: Path) -> None:
    """Write both files into a folder."""
    installed = {str(canonicalize_name(found.name)): found for found in reversed(list(distributions()))}
    runs = closure(
        [*PROJECT["dependencies"], *(r for name in EXTRAS if name != "dev" for r in direct(name))], installed
    )
    develops = closure(direct("dev"), installed) - runs

    def pins(names: set[str]) -> str:
        # setuptools is required by a few; which one does not matter, and Python's own environments bring theirs.
        lines = [f"{installed[name].name}=={installed[name].version}" for name in names - {"setuptools"}]
        return "".join(f"{line}\n" for line in sorted(lines, key=str.lower))

    (folder / "constraints.txt").write_text(pins(runs))
    (folder / "constraints-dev.txt").write_text("--constraint constraints.txt\n" + pins(develops))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT)
