"""What decides a run, and the files by which it is found again; nothing here imports torch, so a dry run is quick."""

import json
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import AliasChoices, Field

from nigaoe_core.errors import TrainingError
from nigaoe_model.training.config import TrainingConfig
from nigaoe_model.training.encoder.config import EncoderConfig
from nigaoe_model.training.gans_n_roses.config import GansNRosesConfig
from nigaoe_model.training.methods.config import MethodConfig
from nigaoe_model.training.run_inputs import EncoderInputs, GeneratorInputs, Method, MethodInputs, Section
from nigaoe_model.training.swapping_autoencoder.config import SwappingAutoencoderConfig

CONFIG = "config.json"
"""The resolved plan, in a run's folder."""
STATE = "state.safetensors"
"""Everything that going on exactly needs, in a run's folder."""


class RunPlan(Section):
    """What plans of all kinds have in common.

    Attributes:
        what: What is trained, for messages.
        folder: Folder of the run.
        resume: Go on from the folder's state.
        tensorboard: Also write TensorBoard events.
    """

    what: ClassVar[str]

    folder: Path = Field(exclude=True)
    resume: bool = Field(default=False, exclude=True)
    tensorboard: bool = Field(default=False, exclude=True)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Return the plan that goes on with the run in ``folder``.

        Raises:
            TrainingError: There is no run of this kind.
        """
        try:
            document = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
            _drop_retired(document)
            return cls.model_validate(document | {"folder": folder, "resume": True})
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise TrainingError(f"`{folder}` holds no {cls.what} that could be resumed.") from error


def _drop_retired(document: dict[str, Any]) -> None:
    """Leave out of an earlier version's config the LPIPS weight, which is gone; only one that did nothing can be."""
    reconstruction = document.get("config", {}).get("reconstruction", {})
    for weights in (reconstruction.get("terms", {}), document.get("encoder", {}).get("weights", {})):
        if weights.get("lpips") == 0:
            del weights["lpips"]


class GeneratorPlan(RunPlan, GeneratorInputs):
    """Everything that decides the run of a generator: ``nigaoe train``, and with a parent ``nigaoe finetune``.

    Attributes:
        config: Resolved settings.
    """

    what: ClassVar[str] = "run"

    config: TrainingConfig


class EncoderPlan(RunPlan, EncoderInputs):
    """Everything that decides the run of an encoder: ``nigaoe train encoder``.

    Attributes:
        config: Resolved settings.
    """

    what: ClassVar[str] = "encoder's run"

    config: EncoderConfig = Field(validation_alias=AliasChoices("config", "encoder"), serialization_alias="encoder")


class MethodPlan(RunPlan, MethodInputs):
    """Everything that decides the run of a compared method: ``nigaoe train --method``.

    Attributes:
        settings: Kind of its config.
        method: What is trained; tells the run's folder from others.
        config: Resolved settings.
    """

    what: ClassVar[str] = "method's run"
    settings: ClassVar[type[MethodConfig]]

    method: Method
    config: MethodConfig


class GansNRosesPlan(MethodPlan):
    """Everything that decides the run of GANs N' Roses."""

    settings: ClassVar[type[MethodConfig]] = GansNRosesConfig

    method: Literal[Method.GANS_N_ROSES] = Method.GANS_N_ROSES
    config: GansNRosesConfig


class SwappingAutoencoderPlan(MethodPlan):
    """Everything that decides the run of a Swapping Autoencoder."""

    settings: ClassVar[type[MethodConfig]] = SwappingAutoencoderConfig

    method: Literal[Method.SWAPPING_AUTOENCODER] = Method.SWAPPING_AUTOENCODER
    config: SwappingAutoencoderConfig


METHOD_PLANS: dict[Method, type[MethodPlan]] = {
    Method.GANS_N_ROSES: GansNRosesPlan,
    Method.SWAPPING_AUTOENCODER: SwappingAutoencoderPlan,
}


def method_of(folder: Path) -> Method:
    """Return the method that is trained in a run's folder.

    Raises:
        TrainingError: There is no run.
    """
    try:
        document = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        return Method(document.get("method", Method.STYLEGAN2))
    except (OSError, ValueError, AttributeError) as error:
        raise TrainingError(f"`{folder}` holds no run that could be resumed.") from error


def write_plan(plan: RunPlan) -> None:
    """Save the resolved plan beside the run."""
    plan.folder.mkdir(parents=True, exist_ok=True)
    document = plan.model_dump_json(indent=2, by_alias=True)
    (plan.folder / CONFIG).write_text(document + "\n", encoding="utf-8")


def check_folder(plan: RunPlan) -> None:
    """Keep a new run from writing over an old one.

    Raises:
        TrainingError: The folder holds a run, and the plan does not resume it.
    """
    if (plan.folder / STATE).is_file() and not plan.resume:
        raise TrainingError(f"`{plan.folder}` holds a run already; resume it with --resume-from or choose another.")
