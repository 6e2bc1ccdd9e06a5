"""What a generator draws, and what it must not let leak between samples, blocks and modes."""

import pytest
import torch

from nigaoe_model.stylegan2.architecture import Architecture, published_architecture
from nigaoe_model.stylegan2.generator import Generator, mix_styles
from nigaoe_model.stylegan2.tags import select, tags_of


def latents(generator: Generator, count: int, seed: int = 3) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    z = torch.randn(count, generator.architecture.z_dim, generator=random)
    return generator.mapping.broadcast(generator.mapping(z))


@pytest.mark.parametrize("resolution", [16, 128, 256])
def test_any_resolution_can_be_built(resolution: int) -> None:
    """Pictures have the size that the architecture names."""
    architecture = published_architecture(resolution, channel_base=resolution * 4, channel_max=16)
    generator = Generator(architecture)
    assert generator(torch.randn(2, 512)).shape == (2, 3, resolution, resolution)


def test_a_sample_does_not_depend_on_its_neighbours(tiny_generator: Generator) -> None:
    """Drawn alone or in a batch, a latent gives the same picture."""
    ws = latents(tiny_generator, 4)
    together = tiny_generator.draw_image(ws)
    alone = torch.cat([tiny_generator.draw_image(w[None]) for w in ws])
    torch.testing.assert_close(together, alone)


def test_noise_modes(tiny_generator: Generator) -> None:
    """Fixed noise repeats itself, random noise does not, and none equals maps of zeros."""
    ws = latents(tiny_generator, 1)
    draw = tiny_generator.draw_image
    assert torch.equal(draw(ws, "fixed"), draw(ws, "fixed"))
    assert not torch.equal(draw(ws, "random"), draw(ws, "random"))
    zeros = [torch.zeros(1, 1, *shape) for shape in tiny_generator.synthesis.noise_shapes]
    torch.testing.assert_close(draw(ws, zeros), draw(ws, "none"))


def test_drawing_can_stop_and_go_on(tiny_generator: Generator) -> None:
    """Handing a half-drawn canvas on gives the picture that drawing at once gives; the shared trunk rests on it."""
    synthesis, ws = tiny_generator.synthesis, latents(tiny_generator, 2)
    half = synthesis.draw(ws, noise="fixed", stop=8)[-1]
    rest = synthesis.draw(ws, noise="fixed", start=half)
    assert [canvas.resolution for canvas in rest] == [16]
    assert torch.equal(rest[-1].image, synthesis(ws, "fixed"))


def test_taps_show_every_resolution(tiny_generator: Generator, tiny: Architecture) -> None:
    """Each block's features and picture can be looked at."""
    canvases = tiny_generator.synthesis.draw(latents(tiny_generator, 1), noise="none")
    assert [c.features.shape[1:] for c in canvases] == [(tiny.channels[r], r, r) for r in tiny.resolutions]


def test_truncation_pulls_towards_the_mean(tiny_generator: Generator) -> None:
    """psi 1 changes nothing, psi 0 is the mean; a cutoff spares the fine layers."""
    mapping, ws = tiny_generator.mapping, latents(tiny_generator, 2)
    assert mapping.truncate(ws, 1.0) is ws
    torch.testing.assert_close(mapping.truncate(ws, 0.0), mapping.w_avg.expand_as(ws))
    partly = mapping.truncate(ws, 0.0, truncation_cutoff=2)
    assert torch.equal(partly[:, 2:], ws[:, 2:])
    assert not torch.equal(partly[:, :2], ws[:, :2])


def test_mixing_takes_coarse_and_fine_styles_from_two_faces(tiny_generator: Generator) -> None:
    """At the ends mixing returns one of its parents."""
    first, second = latents(tiny_generator, 1, seed=1), latents(tiny_generator, 1, seed=2)
    assert torch.equal(mix_styles(first, second, 0), second)
    assert torch.equal(mix_styles(first, second, first.shape[1]), first)
    assert torch.equal(mix_styles(first, second, 2)[:, :2], first[:, :2])


def test_wrong_shapes_fail_at_the_door(tiny_generator: Generator) -> None:
    """A latent or a list of noise maps of another architecture is named, not broadcast."""
    with pytest.raises(ValueError, match=r"ws must be \[N, 6, 8\]"):
        tiny_generator.synthesis(torch.zeros(1, 4, 8))
    with pytest.raises(ValueError, match="5 noise maps"):
        tiny_generator.synthesis(latents(tiny_generator, 1), [])


def test_reduced_precision_stays_close(tiny_generator: Generator) -> None:
    """bf16 in the fine blocks changes a picture by no more than bf16's own grain."""
    ws = latents(tiny_generator, 2)
    exact = tiny_generator.draw_image(ws)
    tiny_generator.synthesis.use_reduced_precision(torch.bfloat16, from_resolution=8)
    reduced = tiny_generator.draw_image(ws)
    assert reduced.dtype == torch.float32
    assert (reduced - exact).abs().max() < 0.05 * (exact.max() - exact.min())


def test_every_parameter_belongs_to_the_mapping_or_one_block(tiny: Architecture) -> None:
    """The tags by which fine-tuning chooses leave nothing out and nothing doubled."""
    generator = Generator(tiny)
    groups = {"mapping", *(f"b{r}" for r in tiny.resolutions)}
    for name, parameter in generator.named_parameters():
        assert len(tags_of(parameter) & groups) == 1, name
    assert [name for name, _ in select(generator, "const")] == ["synthesis.blocks.b4.const"]
