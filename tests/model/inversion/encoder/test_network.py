"""The encoder as a function: from a picture of any size to styles."""

import torch

from nigaoe_model.inversion.encoder.architecture import encoder_architecture
from nigaoe_model.inversion.encoder.network import Encoder
from nigaoe_model.stylegan2.architecture import Architecture, demo_architecture
from nigaoe_model.stylegan2.checkpoint import Checkpoint


def test_it_begins_at_the_mean_face(tiny: Architecture, tiny_checkpoint: Checkpoint) -> None:
    """Who learned nothing guesses the mean."""
    assert tiny_checkpoint.statistics is not None
    encoder = Encoder(encoder_architecture(tiny), tiny_checkpoint.statistics)
    guessed = encoder(torch.rand(3, 3, 16, 16) * 2 - 1)
    torch.testing.assert_close(guessed, tiny_checkpoint.statistics.mean.expand(3, -1, -1))


def test_pictures_of_any_size_are_read(tiny_encoder: Encoder) -> None:
    """A larger picture is reduced before it is looked at: the same face, the same answer."""
    small = torch.rand(2, 3, 16, 16) * 2 - 1
    large = small.repeat_interleave(4, dim=2).repeat_interleave(4, dim=3)
    torch.testing.assert_close(tiny_encoder(large), tiny_encoder(small), atol=1e-5, rtol=1e-5)


def test_one_at_a_time_is_what_each_gets_alone(tiny_encoder: Encoder) -> None:
    """Bit by bit, whatever the company."""
    pictures = torch.rand(5, 3, 16, 16) * 2 - 1
    together = tiny_encoder.each(pictures)
    assert all(torch.equal(together[i], tiny_encoder(pictures[i : i + 1])[0]) for i in range(5))
    torch.testing.assert_close(tiny_encoder(pictures), together, atol=1e-5, rtol=1e-4)
    assert len({tuple(row.flatten().tolist()) for row in together}) == 5


def test_the_usual_encoder_is_small() -> None:
    """Under four megabytes in half precision, for the demo pair's generator."""
    encoder = Encoder(encoder_architecture(demo_architecture()))
    numbers = sum(parameter.numel() for parameter in encoder.parameters())
    assert 1e6 < numbers < 1.9e6
