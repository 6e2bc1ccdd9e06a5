"""A filter folded into a convolution is the filter and the convolution: in its answer and in all derivatives."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from nigaoe_model.stylegan2.architecture import Architecture
from nigaoe_model.stylegan2.discriminator import Discriminator
from nigaoe_model.stylegan2.generator import Generator
from nigaoe_model.stylegan2.layers import ConvLayer
from nigaoe_model.stylegan2.ops.folding import (
    downsampling_taps,
    folded_downsampling,
    folded_shortcut,
    folded_upsampling,
    pays,
    upsampling_taps,
)
from nigaoe_model.stylegan2.ops.modulation import modulated_conv2d, modulated_conv2d_reference
from nigaoe_model.stylegan2.ops.resample import (
    downsample2d,
    fir_kernel,
    upfirdn2d_reference,
    upsample2d,
    upsampling_matrix,
)
from nigaoe_model.training.losses import path_length_penalty, path_lengths, r1_penalty

KERNEL = fir_kernel((1.0, 3.0, 3.0, 1.0)).double()
# A filter that is not symmetric finds exchanged taps.
CROOKED = torch.outer(torch.tensor([1.0, 4.0, 2.0, 0.5]), torch.tensor([3.0, 1.0, 2.0, 1.0])).double() / 52.5

Operation = Callable[[Tensor, Tensor], Tensor]


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def layer(size: int, kernel: Tensor) -> ConvLayer:
    return ConvLayer(3, 4, size, resample_kernel=kernel).double()


def operations(kernel: Tensor) -> dict[str, tuple[Operation, Operation, int]]:
    """Folded, plain, and the side of the convolution's kernel."""
    up, down = upsampling_taps(kernel), downsampling_taps(kernel)
    assert up is not None
    assert down is not None

    def plain_up(x: Tensor, weight: Tensor) -> Tensor:
        return modulated_conv2d_reference(x, weight, torch.ones_like(x[:, :, 0, 0]), demodulate=False, up_kernel=kernel)

    def plain_down(x: Tensor, weight: Tensor) -> Tensor:
        filtered = upfirdn2d_reference(x, kernel, up=1, down=1, padding=(2, 2))
        return F.conv2d(filtered, weight, stride=2)

    def plain_shortcut(x: Tensor, weight: Tensor) -> Tensor:
        return F.conv2d(upfirdn2d_reference(x, kernel, up=1, down=2, padding=(1, 1)), weight)

    return {
        "up": (lambda x, w: folded_upsampling(x, w, up), plain_up, 3),
        "down": (lambda x, w: folded_downsampling(x, w, down), plain_down, 3),
        "shortcut": (lambda x, w: folded_shortcut(x, w, kernel), plain_shortcut, 1),
        "strided": (lambda x, w: F.conv2d(downsample2d(x, kernel), w), plain_shortcut, 1),
    }


@pytest.mark.parametrize("kernel", [KERNEL, CROOKED], ids=["fir", "crooked"])
@pytest.mark.parametrize("name", ["up", "down", "shortcut", "strided"])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_folded_filter_gives_the_same_numbers(name: str, kernel: Tensor, layout: torch.memory_format) -> None:
    """Forward, backward and double backward, in float64, on pictures that are not square."""
    folded, plain, side = operations(kernel)[name]
    x, weight = drawn(2, 3, 6, 8).contiguous(memory_format=layout).requires_grad_(), drawn(4, 3, side, side, seed=1)
    weight.requires_grad_()
    results = []
    for operation in (folded, plain):
        y = operation(x, weight)
        gradients = torch.autograd.grad(y, (x, weight), drawn(*y.shape, seed=2), create_graph=True)
        # What penalties ask for: how the gradient for x changes with x's cotangent and with the weights.
        second = torch.autograd.grad(gradients[0].square().sum(), weight)
        results.append([y, *gradients, *second])
    for ours, theirs in zip(*results, strict=True):
        assert ours.shape == theirs.shape
        assert float((ours - theirs).detach().norm() / theirs.detach().norm()) < 1e-12


@pytest.mark.parametrize("name", ["up", "down", "shortcut", "strided"])
def test_derivatives_are_those_of_finite_differences(name: str) -> None:
    """First and second, in picture and weights."""
    folded, _, side = operations(CROOKED)[name]
    x, weight = drawn(1, 2, 4, 4).requires_grad_(), drawn(2, 2, side, side, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(folded, (x, weight))
    assert torch.autograd.gradgradcheck(folded, (x, weight))


@pytest.mark.parametrize("side", [4, 16, 64])
def test_pictures_are_enlarged_by_two_products(side: int) -> None:
    """The banded matrix is the filter along one axis."""
    image, matrix = drawn(2, 3, side, side), upsampling_matrix(side, KERNEL)
    assert matrix.shape == (2 * side, side)
    torch.testing.assert_close(matrix @ image @ matrix.t(), upsample2d(image, KERNEL), atol=1e-12, rtol=1e-12)


def test_a_folded_modulated_convolution_demodulates_by_its_own_weights() -> None:
    """The norm is that of the 3 x 3 kernels, not of the longer ones."""
    x, weight, style = drawn(2, 3, 4, 4), drawn(5, 3, 3, 3, seed=1), drawn(2, 3, seed=2)
    folded = modulated_conv2d(x, weight, style, up_kernel=KERNEL, up_taps=upsampling_taps(KERNEL))
    expected = modulated_conv2d_reference(x, weight, style, up_kernel=KERNEL)
    torch.testing.assert_close(folded, expected, atol=1e-12, rtol=1e-12)


def test_penalties_of_folded_networks_are_those_of_plain_ones() -> None:
    """R1 and path length with their gradients, in float64."""
    torch.manual_seed(0)
    shape = Architecture(resolution=16, channels={4: 8, 8: 8, 16: 4}, z_dim=8, w_dim=8, mapping_layers=2)
    generator, discriminator = Generator(shape).double(), Discriminator(shape).double()
    real, z, direction = drawn(2, 3, 16, 16), drawn(2, 8, seed=1), drawn(2, 3, 16, 16, seed=2)
    found = []
    for fold in (True, False):
        folded = 0
        for module in (*generator.modules(), *discriminator.modules()):
            if hasattr(module, "fold"):
                module.fold = fold
                folded += 1
        assert folded > 4
        shown = real.clone().requires_grad_()
        r1 = r1_penalty(discriminator(shown), shown)
        ws = generator.mapping.broadcast(generator.mapping(z))
        lengths = path_lengths(generator.draw_image(ws), ws, direction)
        penalty = path_length_penalty(lengths, torch.zeros((), dtype=torch.float64))
        gradients = torch.autograd.grad(r1, list(discriminator.parameters()), allow_unused=True)
        gradients += torch.autograd.grad(penalty, list(generator.parameters()), allow_unused=True)
        found.append([r1, penalty, *gradients])
    for ours, theirs in zip(*found, strict=True):
        assert (ours is None) is (theirs is None)
        if ours is not None and theirs is not None:
            torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-14)


def test_other_filters_are_not_folded() -> None:
    """A filter of two taps stays what it is, and so does everything on a CPU."""
    short = fir_kernel((1.0, 1.0))
    assert upsampling_taps(short) is None
    assert downsampling_taps(short) is None
    assert not pays(torch.zeros(1, 2, 4, 4))
    forced = ConvLayer(3, 4, 3, resample_kernel=short)
    forced.fold = True
    assert forced(torch.zeros(1, 3, 8, 8)).shape == (1, 4, 4, 4)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="folding pays on NVIDIA GPUs only")
@pytest.mark.parametrize("name", ["up", "down", "shortcut"])
@pytest.mark.parametrize(("dtype", "error"), [(torch.float32, 2e-3), (torch.bfloat16, 2e-2)])
def test_a_gpu_folds_as_a_cpu_does(name: str, dtype: torch.dtype, error: float) -> None:
    """Channels last, forward and both gradients, against float64."""
    _, plain, side = operations(KERNEL)[name]
    gpu = operations_on("cuda")[name]
    x, weight = drawn(8, 32, 16, 16), drawn(64, 32, side, side, seed=1)
    expected_in, expected_weight = x.clone().requires_grad_(), weight.clone().requires_grad_()
    y = plain(expected_in, expected_weight)
    cotangent = drawn(*y.shape, seed=2)
    expected = [y, *torch.autograd.grad(y, (expected_in, expected_weight), cotangent)]
    given = x.to("cuda", dtype).contiguous(memory_format=torch.channels_last).requires_grad_()
    filters = weight.to("cuda", torch.float32).requires_grad_()
    assert pays(given)
    answer = gpu(given, filters)
    assert answer.is_contiguous(memory_format=torch.channels_last)
    found = [answer, *torch.autograd.grad(answer, (given, filters), cotangent.to("cuda", dtype))]
    for ours, theirs in zip(found, expected, strict=True):
        assert float((ours.double().cpu() - theirs).detach().norm() / theirs.detach().norm()) < error


def operations_on(device: str) -> dict[str, Operation]:
    """The folded operations with their constants on a device."""
    kernel = KERNEL.float()
    up, down = upsampling_taps(kernel), downsampling_taps(kernel)
    assert up is not None
    assert down is not None
    up, down, kernel = up.to(device), down.to(device), kernel.to(device)
    return {
        "up": lambda x, w: folded_upsampling(x, w, up),
        "down": lambda x, w: folded_downsampling(x, w, down),
        "shortcut": lambda x, w: folded_shortcut(x, w, kernel),
    }
