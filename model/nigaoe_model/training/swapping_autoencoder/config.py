"""Every setting of a training of the Swapping Autoencoder; the defaults are those of the paper's program."""

from typing import Annotated, ClassVar, Self

from pydantic import Field, field_serializer, field_validator, model_validator

from nigaoe_model.compared.swapping_autoencoder_architecture import PatchArchitecture, SwappingAutoencoderArchitecture
from nigaoe_model.compared.swapping_autoencoder_settings import CropSettings, LossWeights
from nigaoe_model.stylegan2.architecture import Architecture
from nigaoe_model.training.config import AverageSettings, OptimiserSettings
from nigaoe_model.training.methods.config import MethodConfig
from nigaoe_model.training.run_inputs import Section


class PairSettings(Section):
    """How pictures come together, between which structures are swapped.

    Attributes:
        with_anime: Share of the pairs of a photo and an anime face; the others are two photos.
        x_flip: Mirror half of the pictures.
    """

    with_anime: Annotated[float, Field(gt=0, le=1)] = 0.5
    x_flip: bool = True


class SwappingAutoencoderConfig(MethodConfig):
    """A whole run.

    Attributes:
        architecture: Shape of encoder and generator.
        discriminator_channels: Widths of the discriminator of whole pictures, by resolution from 4 pixels up.
        patch_discriminator: Shape of the patch co-occurrence discriminator.
        total_images: Pictures, photos and anime faces together, after which the run ends.
        batch: Pictures a step, of one side: discriminators and autoencoder take turns. Neighbours are a pair.
        pairs: Of pictures.
        crops: How patches are cut.
        weights: Of the losses.
        optimiser: Adam; the discriminators' rate and decays are corrected for their R1 steps.
        average: Of encoder and generator.
    """

    presets: ClassVar[tuple[str, ...]] = ("swapping-autoencoder64", "swapping-autoencoder64-cpu")

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")] = "swapping-autoencoder"
    architecture: SwappingAutoencoderArchitecture
    discriminator_channels: dict[int, Annotated[int, Field(ge=1, le=4096)]]
    patch_discriminator: PatchArchitecture = PatchArchitecture()
    total_images: Annotated[int, Field(gt=0)] = 25_000_000
    batch: Annotated[int, Field(ge=4, multiple_of=4)] = 16
    pairs: PairSettings = PairSettings()
    crops: CropSettings = CropSettings()
    weights: LossWeights = LossWeights()
    optimiser: OptimiserSettings = OptimiserSettings()
    average: AverageSettings = AverageSettings()

    @field_validator("discriminator_channels", mode="before")
    @classmethod
    def _integer_keys(cls, value: object) -> object:
        return {int(key): width for key, width in value.items()} if isinstance(value, dict) else value

    @field_serializer("discriminator_channels")
    def _string_keys(self, value: dict[int, int]) -> dict[str, int]:
        return {str(key): value[key] for key in sorted(value)}

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.crops.size != self.patch_discriminator.patch_size:
            raise ValueError(
                f"crops.size is {self.crops.size}, patch_discriminator.patch_size {self.patch_discriminator.patch_size}"
            )
        if not any(self.anime_pairs[: self.batch // 4]):
            raise ValueError(
                f"a batch of {self.batch} has no anime face in its first half, which is reconstructed: raise `batch` "
                "or pairs.with_anime"
            )
        self.discriminator  # noqa: B018 - its table of widths is checked
        return self

    @property
    def resolution(self) -> int:
        """Side of the pictures in pixels."""
        return self.architecture.resolution

    @property
    def discriminator(self) -> Architecture:
        """Shape of the discriminator of whole pictures.

        Raises:
            ValueError: The table lacks a width.
        """
        return Architecture(resolution=self.resolution, channels=self.discriminator_channels)

    @property
    def anime_pairs(self) -> tuple[bool, ...]:
        """Which pairs of a batch are of a photo and an anime face: spread evenly, since only half is reconstructed."""
        share, count = self.pairs.with_anime, self.batch // 2
        return tuple(int((pair + 1) * share) > int(pair * share) for pair in range(count))
