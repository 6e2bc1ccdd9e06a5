"""A found face as a file: the latent, the generator that it belongs to, and how it was found.

A latent can rebuild a face, so this file is personal data.
"""

import json
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from nigaoe_core.errors import BrokenCheckpoint, ParentMismatch
from nigaoe_model.portrait.pair import LoadedGenerator

METADATA_KEY = "nigaoe-latent"


class LatentCard(BaseModel):
    """What a latent file says about itself.

    Attributes:
        generator_sha256: Digest of the ``g_ori`` in whose latent space it lives.
        method: How it was found.
        style: The style in which it was found, which matters for `direct` and `best`.
        seed: Seed of the search.
        distance: Reported distance of the result.
        steps: Steps of the search.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: Literal[1] = 1
    generator_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    method: str
    style: str
    seed: int = 0
    distance: float | None = None
    steps: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class StoredLatent:
    """A latent with its card.

    Attributes:
        card: Where it belongs.
        w_plus: # [num_ws, w_dim].
        noise: Optimised maps, each # [1, R_i, R_i]; None: the generator's own.
    """

    card: LatentCard
    w_plus: Tensor
    noise: tuple[Tensor, ...] | None = None

    def to_bytes(self) -> bytes:
        """Return the safetensors file."""
        tensors = {"w_plus": self.w_plus.detach().cpu().contiguous()}
        tensors |= {f"noise.{i:02}": m.detach().cpu().contiguous() for i, m in enumerate(self.noise or ())}
        return save(tensors, metadata={METADATA_KEY: self.card.model_dump_json()})

    @classmethod
    def from_bytes(cls, data: bytes) -> "StoredLatent":
        """Read the file back.

        Raises:
            BrokenCheckpoint: The bytes are damaged or no latent of ours.
        """
        try:
            tensors = load(data)
            card = LatentCard.model_validate_json(_metadata(data).get(METADATA_KEY, ""))
            noise = tuple(tensors[name] for name in sorted(tensors) if name.startswith("noise."))
            return cls(card, tensors["w_plus"], noise or None)
        except (SafetensorError, ValidationError, KeyError, ValueError) as error:
            raise BrokenCheckpoint("The stored latent is damaged; convert the photo again.") from error

    def check_generator(self, g_ori: LoadedGenerator) -> None:
        """Make sure that ``g_ori`` can read this latent.

        Raises:
            ParentMismatch: It was found in another generator's latent space.
        """
        if self.card.generator_sha256 != g_ori.digest:
            raise ParentMismatch(
                "The stored latent belongs to a generator that is no longer installed; convert the photo again."
            )


def _metadata(data: bytes) -> dict[str, str]:
    # safetensors.torch.load drops the metadata, and safe_open reads only files; the header is plain JSON.
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    metadata = header.get("__metadata__", {})
    return metadata if isinstance(metadata, dict) else {}
