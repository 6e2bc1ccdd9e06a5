"""Each map is linear, equals PyTorch's own operation, and knows its adjoint; no sample sees its neighbours."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from nigaoe_model.stylegan2.inference.linear_maps import (
    Convolution,
    LinearMap,
    Pointwise,
    StridedConvolution,
    UpConvolution,
    in_pairs,
    rows_times,
    sample_mean,
    sample_sum,
)
from nigaoe_model.stylegan2.ops.modulation import modulated_conv2d
from nigaoe_model.stylegan2.ops.resample import fir_kernel

CHANNELS_LAST = torch.channels_last
FIR = fir_kernel((1.0, 3.0, 3.0, 1.0))


def weight(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0)) / 8


def batch(count: int, channels: int, size: int, seed: int = 1) -> Tensor:
    x = torch.randn(count, channels, size, size, generator=torch.Generator().manual_seed(seed))
    return x.contiguous(memory_format=CHANNELS_LAST)


MAPS: dict[str, tuple[LinearMap, Callable[[Tensor], Tensor], int]] = {
    "convolution": (
        Convolution(weight(24, 16, 3, 3), memory_format=CHANNELS_LAST),
        lambda x: F.conv2d(x, weight(24, 16, 3, 3), padding=1),
        16,
    ),
    "depthwise": (
        Convolution(weight(16, 1, 5, 5), groups=16, memory_format=CHANNELS_LAST),
        lambda x: F.conv2d(x, weight(16, 1, 5, 5), padding=2, groups=16),
        16,
    ),
    "strided": (
        StridedConvolution(weight(24, 16, 3, 3), memory_format=CHANNELS_LAST),
        lambda x: F.conv2d(F.pad(x, (0, 1, 0, 1)), weight(24, 16, 3, 3), stride=2),
        16,
    ),
    "strided depthwise": (
        StridedConvolution(weight(16, 1, 5, 5), groups=16, memory_format=CHANNELS_LAST),
        lambda x: F.conv2d(F.pad(x, (1, 2, 1, 2)), weight(16, 1, 5, 5), stride=2, groups=16),
        16,
    ),
    "doubling": (
        UpConvolution(weight(24, 16, 3, 3), FIR, memory_format=CHANNELS_LAST),
        lambda x: modulated_conv2d(x, weight(24, 16, 3, 3), torch.ones(len(x), 16), demodulate=False, up_kernel=FIR),
        16,
    ),
    "pointwise": (Pointwise(weight(24, 16)), lambda x: F.conv2d(x, weight(24, 16)[:, :, None, None]), 16),
}


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("count", [1, 3])
def test_a_map_is_what_its_name_says(name: str, count: int) -> None:
    """The numbers are PyTorch's."""
    linear, expected, channels = MAPS[name]
    x = batch(count, channels, 8)
    torch.testing.assert_close(linear(x), expected(x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("count", [1, 3])
def test_the_adjoint_is_the_gradient(name: str, count: int) -> None:
    """What autograd makes of PyTorch's operation, the map's adjoint computes."""
    linear, expected, channels = MAPS[name]
    x = batch(count, channels, 8).requires_grad_()
    y = expected(x)
    gradient = batch(count, y.shape[1], y.shape[2], seed=2)
    (reference,) = torch.autograd.grad(y, x, gradient)
    torch.testing.assert_close(linear.adjoint(gradient), reference, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("size", [4, 32])
def test_a_sample_alone_has_the_same_bits(name: str, size: int) -> None:
    """Forward and backward, any part of a batch gives exactly the whole batch's numbers."""
    linear, _, channels = MAPS[name]
    x = batch(16, channels, size)
    whole = linear(x)
    back = linear.adjoint(whole)
    for rows in (slice(0, 1), slice(3, 4), slice(1, 9), slice(0, 2)):
        part = linear(x[rows].clone(memory_format=torch.preserve_format))
        assert torch.equal(part, whole[rows])
        assert torch.equal(linear.adjoint(part), back[rows])


def test_rows_times_has_the_same_bits_for_any_batch() -> None:
    """The matrix product of one sample is that sample's part of the batch's product, unlike with a plain matmul."""
    rows, matrix = batch(16, 1, 96)[:, 0, :2], weight(96, 200)
    whole = rows_times(rows, matrix)
    torch.testing.assert_close(whole, rows @ matrix)
    assert all(torch.equal(rows_times(rows[i : i + n], matrix), whole[i : i + n]) for i, n in ((0, 1), (2, 3), (0, 8)))


def test_sums_have_the_same_bits_for_any_batch() -> None:
    """A lone picture's sum is not split between threads."""
    x = batch(3, 3, 256)
    assert torch.equal(sample_sum(x[1:2]), sample_sum(x)[1:2])
    torch.testing.assert_close(sample_mean(x), x.mean(dim=(1, 2, 3)))


def test_only_a_small_lone_sample_is_doubled() -> None:
    """What a function sees: two copies instead of one small sample, everything else as it is."""
    seen: list[int] = []

    def look(x: Tensor) -> Tensor:
        seen.append(len(x))
        return x * 2

    assert torch.equal(in_pairs(look, torch.ones(1, 10)), torch.full((1, 10), 2.0))
    in_pairs(look, torch.ones(2, 10))
    in_pairs(look, torch.ones(1, 30_000))
    assert seen == [2, 2, 1]
