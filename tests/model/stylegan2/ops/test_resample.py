"""Fast resampling against upfirdn's definition, in float64."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nigaoe_model.stylegan2.ops.resample import downsample2d, filter2d, fir_kernel, upfirdn2d_reference, upsample2d

FILTERS = [(1.0, 3.0, 3.0, 1.0), (1.0, 2.0, 3.0, 4.0), (1.0, 1.0), (1.0, 5.0, 10.0, 10.0, 5.0, 1.0)]


def picture(height: int = 6, width: int = 8) -> torch.Tensor:
    return torch.randn(2, 3, height, width, dtype=torch.float64)


@pytest.mark.parametrize("taps", FILTERS)
def test_upsampling_equals_zero_insertion_and_filtering(taps: tuple[float, ...]) -> None:
    """The transposed convolution does what the definition says, for asymmetric filters too."""
    kernel, x = fir_kernel(taps).double(), picture()
    before, after = (len(taps) - 2 + 1) // 2 + 1, (len(taps) - 2) // 2
    expected = upfirdn2d_reference(x, kernel * 4, up=2, down=1, padding=(before, after))
    torch.testing.assert_close(upsample2d(x, kernel), expected)


@pytest.mark.parametrize("taps", FILTERS)
def test_downsampling_equals_filtering_and_decimation(taps: tuple[float, ...]) -> None:
    """The strided convolution does what the definition says."""
    kernel, x = fir_kernel(taps).double(), picture()
    pad = (len(taps) - 2) // 2
    torch.testing.assert_close(
        downsample2d(x, kernel), upfirdn2d_reference(x, kernel, up=1, down=2, padding=(pad, pad))
    )


@given(before=st.integers(0, 3), after=st.integers(0, 3), gain=st.floats(0.1, 4))
def test_filtering_equals_the_definition_for_any_padding(before: int, after: int, gain: float) -> None:
    """Padding may differ before and after; the gain multiplies the kernel."""
    kernel, x = fir_kernel((1.0, 2.0, 3.0, 4.0)).double(), picture()
    expected = upfirdn2d_reference(x, kernel * gain, up=1, down=1, padding=(before, after))
    torch.testing.assert_close(filter2d(x, kernel, padding=(before, after), gain=gain), expected)


def test_a_flat_picture_stays_flat_inside() -> None:
    """Away from the border, enlarging a single colour gives that colour."""
    flat = torch.full((1, 1, 8, 8), 0.7)
    inner = upsample2d(flat, fir_kernel((1.0, 3.0, 3.0, 1.0)))[:, :, 2:-2, 2:-2]
    torch.testing.assert_close(inner, torch.full_like(inner, 0.7))
