"""The frozen synthesis draws what the generator draws, and leads back to the same latents."""

import pytest
import torch
from processors import needs_bf16
from torch import Tensor

from nigaoe_model.device import preferred_layout
from nigaoe_model.stylegan2.architecture import Architecture
from nigaoe_model.stylegan2.generator import Generator
from nigaoe_model.stylegan2.inference.synthesis import FrozenSynthesis


def codes(generator: Generator, count: int) -> Tensor:
    shape = (count, generator.architecture.num_ws, generator.architecture.w_dim)
    return torch.randn(shape, generator=torch.Generator().manual_seed(4))


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_pictures_and_gradients_are_the_generators(tiny_generator: Generator, layout: torch.memory_format) -> None:
    """In float64 both agree to the last few bits, so the formulas are the same."""
    generator = tiny_generator.double()
    frozen = FrozenSynthesis(generator.synthesis, memory_format=layout)
    ws = codes(generator, 3).double().requires_grad_()
    expected = generator.draw_image(ws)
    image = frozen(ws)
    torch.testing.assert_close(image, expected, rtol=1e-10, atol=1e-10)
    direction = torch.randn(image.shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    (reference,) = torch.autograd.grad(expected, ws, direction)
    (gradient,) = torch.autograd.grad(image, ws, direction)
    torch.testing.assert_close(gradient, reference, rtol=1e-9, atol=1e-9)


def test_noise_maps_have_gradients_of_their_own(tiny_generator: Generator) -> None:
    """Maps given from outside are drawn and differentiated as in the generator."""
    generator = tiny_generator.double()
    random = torch.Generator().manual_seed(6)
    shapes = generator.synthesis.noise_shapes
    maps = [torch.randn(2, 1, *s, generator=random, dtype=torch.float64).requires_grad_() for s in shapes]
    ws = codes(generator, 2).double()
    expected = generator.draw_image(ws, maps)
    image = FrozenSynthesis(generator.synthesis)(ws, maps)
    torch.testing.assert_close(image, expected, rtol=1e-10, atol=1e-10)
    pairs = zip(
        torch.autograd.grad(image.square().sum(), maps), torch.autograd.grad(expected.square().sum(), maps), strict=True
    )
    for gradient, reference in pairs:
        torch.testing.assert_close(gradient, reference, rtol=1e-9, atol=1e-9)


def test_a_picture_may_be_begun_and_finished_later(tiny_generator: Generator) -> None:
    """In two parts it has the same bits as in one, whatever the finer styles are by then."""
    frozen, ws = FrozenSynthesis(tiny_generator.synthesis), codes(tiny_generator, 2)
    begun = frozen.up_to(8, ws)
    assert begun.image.shape == (2, 3, 8, 8)
    assert torch.equal(frozen(ws, start=begun), frozen(ws))
    later = torch.cat([ws[:, :4], -ws[:, 4:]], dim=1)
    assert torch.equal(frozen(later, start=begun), frozen(later))
    maps = [
        torch.randn(2, 1, *s, generator=torch.Generator().manual_seed(7)) for s in tiny_generator.synthesis.noise_shapes
    ]
    assert torch.equal(frozen(ws, maps, start=frozen.up_to(8, ws, maps)), frozen(ws, maps))


def test_clamped_generators_stay_clamped(tiny: Architecture) -> None:
    """conv_clamp of ADA's networks bounds activations and colours here, too."""
    torch.manual_seed(1)
    generator = Generator(tiny.model_copy(update={"conv_clamp": 0.5})).eval().requires_grad_(requires_grad=False)
    ws = codes(generator, 2) * 3
    torch.testing.assert_close(FrozenSynthesis(generator.synthesis)(ws), generator.draw_image(ws), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_a_latent_alone_gives_the_same_bits(tiny_generator: Generator, layout: torch.memory_format) -> None:
    """Picture and gradient of one latent are exactly its part of a batch's."""
    frozen = FrozenSynthesis(tiny_generator.synthesis, memory_format=layout)
    ws = codes(tiny_generator, 9)

    def both(part: Tensor) -> tuple[Tensor, Tensor]:
        leaf = part.clone().requires_grad_()
        image = frozen(leaf)
        return image, torch.autograd.grad(image.square().sum(), leaf)[0]

    image, gradient = both(ws)
    for rows in (slice(0, 1), slice(4, 5), slice(2, 7)):
        alone, gradient_alone = both(ws[rows])
        assert torch.equal(alone, image[rows])
        assert torch.equal(gradient_alone, gradient[rows])


def test_the_layout_follows_the_device() -> None:
    """A GPU always wants channels last; a CPU where its vectors are wide enough."""
    assert preferred_layout(torch.device("cuda")) is torch.channels_last
    assert preferred_layout(torch.device("cpu")) in (torch.channels_last, torch.contiguous_format)


@needs_bf16
def test_reduced_convolutions_draw_nearly_the_same(tiny_generator: Generator) -> None:
    """With bf16 in its convolutions the picture differs by a few thousandths, and its gradient leads the same way."""
    ws = codes(tiny_generator, 2).requires_grad_()
    exact = FrozenSynthesis(tiny_generator.synthesis)(ws)
    reduced = FrozenSynthesis(tiny_generator.synthesis, dtype=torch.bfloat16)(ws)
    assert reduced.dtype == torch.float32
    assert 0 < (reduced - exact).abs().max() < 0.05 * (exact.max() - exact.min())
    gradients = [torch.autograd.grad(image.square().sum(), ws)[0].flatten() for image in (exact, reduced)]
    assert torch.cosine_similarity(*gradients, dim=0) > 0.99
