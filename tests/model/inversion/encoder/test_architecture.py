"""The shape of an encoder follows its generator's."""

import pytest
from pydantic import ValidationError

from nigaoe_model.inversion.encoder.architecture import EncoderArchitecture, encoder_architecture
from nigaoe_model.stylegan2.architecture import Architecture, demo_architecture, published_architecture


def test_an_encoder_fits_its_generator(tiny: Architecture) -> None:
    """It looks at 64 pixels, or at fewer where there are no more, and guesses a style a layer."""
    for generator, side in ((tiny, 16), (demo_architecture(), 64), (published_architecture(256), 64)):
        architecture = encoder_architecture(generator)
        assert architecture.side == side
        assert (architecture.num_ws, architecture.w_dim) == (generator.num_ws, generator.w_dim)


@pytest.mark.parametrize("change", [{"side": 48}, {"side": 32}, {"widths": (8, 8)}, {"kernel": 5}])
def test_impossible_shapes_are_refused(change: dict[str, object]) -> None:
    """Widths must lead from the looked-at resolution to four pixels."""
    sound = {"side": 16, "widths": (8, 8, 8), "num_ws": 6, "w_dim": 8}
    assert EncoderArchitecture.model_validate(sound)
    with pytest.raises(ValidationError):
        EncoderArchitecture.model_validate(sound | change)
