"""A 16-bit type is refused where the processor has no instructions for it, in one sentence, and never chosen."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from nigaoe_core.errors import InvalidSettings
from nigaoe_model.precision import check_support, is_faster, supports
from nigaoe_model.stylegan2.generator import Generator
from nigaoe_model.stylegan2.inference.synthesis import FrozenSynthesis

CPU = torch.device("cpu")

WITH_AVX2_ALONE = """
import torch

from nigaoe_core.errors import InvalidSettings
from nigaoe_core.settings import Settings
from nigaoe_model.precision import is_faster, serving_dtype, supports
from nigaoe_model.training.precision import resolve_precision
from nigaoe_worker.model_cache import ModelCache

cpu = torch.device("cpu")
assert not any(supports(dtype, cpu) or is_faster(dtype, cpu) for dtype in (torch.bfloat16, torch.float16))
assert resolve_precision("auto", cpu, 4).dtype == serving_dtype("auto", cpu) == torch.float32
doors = {
    "compute.precision": lambda name: resolve_precision({"bfloat16": "bf16", "float16": "fp16"}[name], cpu, 4),
    "NIGAOE_PRECISION": lambda name: ModelCache(Settings(precision=name), "cpu"),
}
for setting, door in doors.items():
    for name in ("bfloat16", "float16"):
        try:
            door(name)
        except InvalidSettings as error:
            print(setting, error.message)
"""


def test_full_precision_is_computed_everywhere() -> None:
    """float32 and float64 are never refused, and are never "faster" than themselves."""
    for dtype in (torch.float32, torch.float64):
        assert supports(dtype, CPU)
        check_support(dtype, CPU, setting="x", instead="y")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_search_computes_or_is_refused(tiny_generator: Generator, dtype: torch.dtype) -> None:
    """Whatever this processor is: a type that it "supports" draws, another is refused before anything is computed."""
    ws = torch.zeros(1, tiny_generator.architecture.num_ws, tiny_generator.architecture.w_dim)
    if supports(dtype, CPU):
        assert FrozenSynthesis(tiny_generator.synthesis, dtype=dtype)(ws).isfinite().all()
    else:
        assert not is_faster(dtype, CPU)
        with pytest.raises(InvalidSettings, match="has no instructions for convolutions"):
            FrozenSynthesis(tiny_generator.synthesis, dtype=dtype)


def test_a_processor_with_avx2_alone(repository: Path) -> None:
    """oneDNN is limited to AVX2: ``auto`` is float32, and training and workers name the setting that asked for more."""
    environment = os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2", "OMP_NUM_THREADS": "1"}
    result = subprocess.run(
        [sys.executable, "-c", WITH_AVX2_ALONE],
        cwd=repository,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    sentences = result.stdout.splitlines()
    assert [line.split()[0] for line in sentences] == ["compute.precision"] * 2 + ["NIGAOE_PRECISION"] * 2
    assert sentences[0].endswith("no instructions for convolutions in bf16: set compute.precision to fp32 or auto.")
    assert sentences[3].endswith("no instructions for convolutions in fp16: set NIGAOE_PRECISION to float32 or auto.")
