"""Which type and which layout the main steps compute in."""

import pytest
import torch

from nigaoe_model.device import preferred_layout
from nigaoe_model.training.precision import Precision, resolve_memory_format

CPU = torch.device("cpu")
CUDA = torch.device("cuda")
FULL, REDUCED = Precision(torch.float32), Precision(torch.bfloat16)


@pytest.mark.parametrize("precision", [FULL, REDUCED])
def test_on_a_cpu_the_main_steps_have_the_layout_that_searches_have(precision: Precision) -> None:
    assert resolve_memory_format("auto", CPU, precision) == preferred_layout(CPU)


def test_on_a_gpu_only_reduced_steps_keep_channels_last() -> None:
    assert resolve_memory_format("auto", CUDA, REDUCED) == torch.channels_last
    assert resolve_memory_format("auto", CUDA, FULL) == torch.contiguous_format


@pytest.mark.parametrize("device", [CPU, CUDA])
@pytest.mark.parametrize("precision", [FULL, REDUCED])
def test_a_setting_wins(device: torch.device, precision: Precision) -> None:
    assert resolve_memory_format(True, device, precision) == torch.channels_last
    assert resolve_memory_format(False, device, precision) == torch.contiguous_format
