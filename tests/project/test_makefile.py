"""What `make` would do, told by `make -n`: nothing is installed here."""

import subprocess
from pathlib import Path


def plan(repository: Path, tmp_path: Path, *words: str) -> list[str]:
    """The lines that make would run in a checkout without an environment."""
    command = ["make", "-n", f"VENV={tmp_path / 'venv'}", *words]
    result = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=True)
    return result.stdout.splitlines()


def test_the_demo_may_take_pytorchs_cpu_build(repository: Path, tmp_path: Path) -> None:
    """It is installed first, from PyTorch's own index, so that nothing asks PyPI for the build with CUDA."""
    installs = [line for line in plan(repository, tmp_path, "demo", "TORCH=cpu") if " install " in line]
    assert len(installs) == 2
    assert "--extra-index-url https://download.pytorch.org/whl/cpu torch torchvision" in installs[0]
    assert "'.[embedded]'" in installs[1]
    assert not any("pytorch.org" in line for line in plan(repository, tmp_path, "demo"))


def test_the_demo_installs_nothing_for_developers(repository: Path, tmp_path: Path) -> None:
    """It is bound by what runs; what tests and checks need is pinned in a file of its own."""
    demo, checks = (
        [line for line in plan(repository, tmp_path, target) if " install " in line] for target in ("demo", "test")
    )
    assert ["--constraint constraints.txt" in line and "dev" not in line for line in demo] == [True]
    assert ["--constraint constraints-dev.txt" in line for line in checks] == [True]


def test_the_checks_of_ci_include_a_processor_without_avx512(repository: Path, tmp_path: Path) -> None:
    """What a narrow processor computes otherwise, or not at all, is seen on any machine."""
    lines = plan(repository, tmp_path, "check")
    assert any("ONEDNN_MAX_CPU_ISA=AVX2" in line and "tests/model/test_precision.py" in line for line in lines)
