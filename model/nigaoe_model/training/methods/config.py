"""The settings that the runs of both compared methods have in common.

Durations count photos shown, so that they keep their meaning at any batch size.
"""

from typing import Annotated, Literal

from pydantic import Field

from nigaoe_faces.align import AlignmentTemplate
from nigaoe_model.training.config import CadenceSettings, RunConfig
from nigaoe_model.training.run_inputs import Section


class MethodCompute(Section):
    """Where and how numbers are computed.

    Attributes:
        device: ``auto`` takes the GPU where there is one.
        precision: Of the networks in the main steps; penalties, losses and scores are always computed in fp32.
            ``auto`` is bf16 where the machine multiplies it natively, else fp32.
        threads: CPU threads; None leaves PyTorch's choice.
        step_graphs: Record whole steps as CUDA graphs and replay them; ``auto`` does so on an NVIDIA GPU.
        seed: Start of every random number of the run.
    """

    device: str = "auto"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    threads: Annotated[int, Field(ge=1)] | None = None
    step_graphs: Literal["auto"] | bool = "auto"
    seed: Annotated[int, Field(ge=0)] = 0


class MethodConfig(RunConfig):
    """A whole run of a method.

    Attributes:
        name: Name of the checkpoints that the run writes.
        licence: Of the weights.
        alignment: Framing of the photos; None: the data set's.
        total_images: Photos after which the run ends.
        batch: Photos a step.
        held_out: Last photos of the data set that are kept for scores and sheets where no other set is named; at most a
            tenth of it.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]
    licence: str = "unknown"
    alignment: AlignmentTemplate | None = None
    total_images: Annotated[int, Field(gt=0)]
    batch: Annotated[int, Field(ge=2)]
    held_out: Annotated[int, Field(ge=1)] = 256
    cadence: CadenceSettings = CadenceSettings(score_samples=1_000)
    compute: MethodCompute = MethodCompute()

    @property
    def resolution(self) -> int:
        """Side of the pictures in pixels."""
        raise NotImplementedError
