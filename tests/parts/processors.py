"""What the processor that runs the tests is able to do."""

import pytest
import torch

from nigaoe_model.precision import supports

needs_bf16 = pytest.mark.skipif(
    not supports(torch.bfloat16, torch.device("cpu")),
    reason="this processor has no instructions for convolutions in bf16",
)
