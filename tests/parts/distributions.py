"""The sdist and wheel of this checkout, and an environment that holds the wheel instead of the checkout."""

import subprocess
import sys
import tarfile
import venv
from pathlib import Path


def hatchling(source: Path, target: str, folder: Path) -> Path:
    """Build one distribution of ``source`` into ``folder``, which is empty before; nothing is downloaded."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)]
    built = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    (distribution,) = folder.iterdir()
    return distribution


def unpacked(sdist: Path, folder: Path) -> Path:
    """Unpack an sdist and return its root."""
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    (root,) = folder.iterdir()
    return root


def environment_with(wheel: Path, folder: Path) -> Path:
    """Install the wheel into an environment of its own and return its Python.

    Its dependencies are those of the environment that runs the tests; the checkout is not on its path, because Python
    does not read the ``.pth`` file of an editable install in a folder that another ``.pth`` file names.
    """
    venv.create(folder, with_pip=False, symlinks=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    borrowed = [path for path in sys.path if path.endswith("site-packages")]
    (packages / "dependencies.pth").write_text("\n".join(borrowed))
    python = folder / "bin" / "python"
    install = ["install", "--quiet", "--no-index", "--no-deps", "--ignore-installed", str(wheel)]
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(python), *install]
    subprocess.run(command, check=True)
    return python
