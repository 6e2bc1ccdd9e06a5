"""Every setting of a training run, read from TOML, resolved, and saved beside the run.

Durations count images shown to the discriminator, so that they keep their meaning at any batch size.
"""

import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import Field, ValidationError

from nigaoe_core.config_errors import explain
from nigaoe_core.errors import TrainingError
from nigaoe_faces.align import AlignmentTemplate
from nigaoe_model.inversion.settings import LossWeights
from nigaoe_model.stylegan2.architecture import Architecture
from nigaoe_model.training.run_inputs import Section

Images = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Weight = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class OptimiserSettings(Section):
    """Adam, as published: beta1 = 0, so that the gradient of a moving opponent is not averaged.

    Attributes:
        generator_lr: Learning rate of the generator, before the equalised scaling.
        discriminator_lr: Learning rate of the discriminator.
        beta2: Decay of the second moment.
    """

    generator_lr: Positive = 2e-3
    discriminator_lr: Positive = 2e-3
    beta2: Fraction = 0.99


class RegularisationSettings(Section):
    """Lazy penalties (Karras et al. 2020, appendix B).

    Attributes:
        r1_gamma: Weight of R1; 0 turns it off.
        r1_every: Steps from one R1 step to the next.
        path_length_weight: Weight of the path length penalty; 0 turns it off.
        path_length_every: Steps from one path length step to the next.
        path_length_batch: Share of the batch that the path length step draws.
        style_mixing: Probability that a picture is drawn from two styles.
    """

    r1_gamma: Weight = 10.0
    r1_every: Annotated[int, Field(ge=1)] = 16
    path_length_weight: Weight = 2.0
    path_length_every: Annotated[int, Field(ge=1)] = 4
    path_length_batch: Annotated[float, Field(gt=0, le=1)] = 0.5
    style_mixing: Fraction = 0.9


class AugmentationSettings(Section):
    """What the discriminator sees instead of plain pictures.

    Attributes:
        x_flip: Mirror half of the real pictures.
        kind: ``ada`` (Karras et al. 2020b), ``diffaugment`` (Zhao et al. 2020) or none.
        ada_target: Value of the sign statistic r_t that p is steered to.
        ada_speed_images: Images in which p may go from 0 to 1.
        ada_every: Steps from one update of p to the next.
        initial_p: Where p starts.
    """

    x_flip: bool = True
    kind: Literal["none", "ada", "diffaugment"] = "none"
    ada_target: Fraction = 0.6
    ada_speed_images: Annotated[int, Field(gt=0)] = 500_000
    ada_every: Annotated[int, Field(ge=1)] = 4
    initial_p: Fraction = 0.0


class MomentSettings(Section):
    """Feature-moment matching, an aid for small budgets; see :mod:`nigaoe_model.training.moment_matching`.

    Attributes:
        weight: Factor of the loss; 0 turns it off.
        momentum: Decay of the moving average of the moments' difference.
        samples: Pictures that the data's moments are measured on.
        fade_from: Images after which the weight starts to fall; None: never.
        fade_images: Images that the fall to ``fade_to`` takes.
        fade_to: Share of the weight that remains.
    """

    weight: Weight = 0.0
    momentum: Fraction = 0.95
    samples: Annotated[int, Field(ge=2)] = 4096
    fade_from: Images | None = None
    fade_images: Annotated[int, Field(gt=0)] = 50_000
    fade_to: Fraction = 0.0


class ReconstructionSettings(Section):
    """Pictures that are guessed and drawn again; see :mod:`nigaoe_model.training.reconstruction`.

    Attributes:
        weight: Factor of the loss; 0 turns it off.
        share: Of the batch that is redrawn.
        in_w: Share of the redrawn pictures whose code is one style for all layers.
        code: Weight of the distance between known and guessed codes of drawn pictures, in units of w's variance.
        terms: By which a redrawn picture is compared with the real one, and its code held near W, as in a search.
        encoder_lr: Adam's rate for the encoder.
    """

    weight: Weight = 0.0
    share: Fraction = 0.5
    in_w: Fraction = 0.5
    code: Weight = 0.2
    terms: LossWeights = LossWeights()
    encoder_lr: Positive = 1e-3


class PhotoLatentSettings(Section):
    """What of a fine-tune's batch is drawn from latents of photos, where they are given.

    Attributes:
        share: Of the batch; the rest is drawn from z.
        least_psi: Latents are truncated by a psi between this and 1, as conversions do.
    """

    share: Fraction = 0.5
    least_psi: Fraction = 0.7


class ColourSettings(Section):
    """How much a fine-tune keeps the person's colours; see :mod:`nigaoe_model.training.carried_colours`.

    Attributes:
        weight: Factor of the loss; 0 turns it off.
        side: Cells along each side of the grid on which person and drawing are compared.
    """

    weight: Weight = 0.0
    side: Annotated[int, Field(ge=1)] = 8


class AverageSettings(Section):
    """Moving average of the generator's weights.

    Attributes:
        halflife_images: Images after which a weight counts half.
        rampup: The half-life is at most this share of the images seen; 0 turns the ramp off.
    """

    halflife_images: Annotated[int, Field(gt=0)] = 10_000
    rampup: Fraction = 0.05


class CadenceSettings(Section):
    """How often the run logs, saves, draws and scores.

    Attributes:
        log_images: Images from one line of the log to the next.
        save_seconds: Seconds from one saved state to the next.
        grid_images: Images from one sample grid to the next; 0 turns grids off.
        score_images: Images from one FD-effnet score to the next; 0 turns scores off.
        score_samples: Drawn pictures a score.
        score_share: Most of the time that scores may take; one that is due too soon is left out, except a run's last.
        keep_best: Keep the slim checkpoint with the best score.
    """

    log_images: Annotated[int, Field(gt=0)] = 1_000
    save_seconds: Positive = 300.0
    grid_images: Images = 10_000
    score_images: Images = 10_000
    score_samples: Annotated[int, Field(ge=8)] = 2_000
    score_share: Annotated[float, Field(gt=0, le=1)] = 0.2
    keep_best: bool = True


class ComputeSettings(Section):
    """Where and how numbers are computed.

    Attributes:
        device: ``auto`` takes the GPU where there is one.
        precision: Of the convolutions in the main steps; penalties are always computed in fp32. ``auto`` is bf16
            where the machine multiplies it natively (GPU, AMX, AVX512-BF16), else fp32.
        reduced_from: Blocks of at least this many pixels use the reduced precision.
        channels_last: Keep activations as # [N, H, W, C]. ``auto`` does so on CPUs with AVX-512, where a step takes an
            eighth to a quarter less, and on GPUs where the main steps are reduced; other CPUs' backward pass is slower.
        threads: CPU threads; None leaves PyTorch's choice.
        compile: Compile the main steps with ``torch.compile``.
        step_graphs: Record whole steps as CUDA graphs and replay them. ``auto`` does so where one process trains on an
            NVIDIA GPU, unless the main steps are compiled.
        reuse_fakes: Show the generator's own step the pictures that the discriminator's step was drawn for: one
            forward pass less.
        seed: Start of every random number of the run.
    """

    device: str = "auto"
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    reduced_from: Annotated[int, Field(ge=4)] = 4
    channels_last: Literal["auto"] | bool = "auto"
    threads: Annotated[int, Field(ge=1)] | None = None
    compile: bool = False
    step_graphs: Literal["auto"] | bool = "auto"
    reuse_fakes: bool = True
    seed: Annotated[int, Field(ge=0)] = 0


class FreezeSettings(Section):
    """The thesis's step: what of a parent stays as it is.

    Attributes:
        trainable_blocks: Last resolutions that learn, counted from the output.
        freeze_d: Finest discriminator stages that stay as they are (Mo et al. 2020, FreezeD); 0 trains all.
    """

    trainable_blocks: Annotated[int, Field(ge=1, le=9)] = 4
    freeze_d: Annotated[int, Field(ge=0, le=9)] = 0


class RunConfig(Section):
    """A whole run of any kind that a TOML file describes.

    Attributes:
        presets: Names of the packaged files.
    """

    presets: ClassVar[tuple[str, ...]] = ()


class TrainingConfig(RunConfig):
    """A whole run of a generator.

    Attributes:
        name: Name of the checkpoints that the run writes.
        domain: What the pictures show.
        architecture: Shape of the networks; None where a parent brings it.
        alignment: Framing of the pictures; None: the data set's.
        total_images: Images after which the run ends.
        batch: Images a step, over all processes.
        freeze: Only in a fine-tune.
    """

    presets: ClassVar[tuple[str, ...]] = ("tiny64", "tiny128", "ffhq256", "ffhq1024", "anime64")

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")] = "g_ori"
    domain: Literal["human", "anime", "other"] = "human"
    licence: str = "unknown"
    architecture: Architecture | None = None
    alignment: AlignmentTemplate | None = None
    total_images: Annotated[int, Field(gt=0)] = 25_000_000
    batch: Annotated[int, Field(ge=1)] = 16
    optimiser: OptimiserSettings = OptimiserSettings()
    regularisation: RegularisationSettings = RegularisationSettings()
    augmentation: AugmentationSettings = AugmentationSettings()
    moments: MomentSettings = MomentSettings()
    reconstruction: ReconstructionSettings = ReconstructionSettings()
    photo_latents: PhotoLatentSettings = PhotoLatentSettings()
    colours: ColourSettings = ColourSettings()
    average: AverageSettings = AverageSettings()
    cadence: CadenceSettings = CadenceSettings()
    compute: ComputeSettings = ComputeSettings()
    freeze: FreezeSettings | None = None


AnyConfig = TypeVar("AnyConfig", bound=Section)
AnyRunConfig = TypeVar("AnyRunConfig", bound=RunConfig)


def load_config(
    kind: type[AnyRunConfig], name_or_path: str, overrides: Mapping[str, Any] | None = None
) -> AnyRunConfig:
    """Read a preset or a TOML file.

    Args:
        kind: What the file describes.
        name_or_path: A preset's name, or the path of a ``.toml`` file.
        overrides: Dotted names to values, such as ``{"compute.seed": 3}``; they win over the file.

    Raises:
        TrainingError: There is no such file, or a setting is unknown or out of range.
    """
    try:
        document = tomllib.loads(_text(kind, name_or_path))
        for dotted, value in (overrides or {}).items():
            assign(document, dotted, value)
        return kind.model_validate(document)
    except tomllib.TOMLDecodeError as error:
        raise TrainingError(f"`{name_or_path}` is no TOML: {error}.") from error
    except ValidationError as error:
        raise TrainingError(f"The training config `{name_or_path}`: {explain(error, kind)}") from error


def change_config(config: AnyConfig, overrides: Mapping[str, Any]) -> AnyConfig:
    """Return ``config`` with dotted names changed.

    Raises:
        TrainingError: A setting is unknown or out of range.
    """
    document = config.model_dump(mode="json")
    try:
        for dotted, value in overrides.items():
            assign(document, dotted, value)
        return type(config).model_validate(document)
    except ValidationError as error:
        raise TrainingError(f"The changed config: {explain(error, type(config))}") from error


def _text(kind: type[RunConfig], name_or_path: str) -> str:
    packaged = resources.files("nigaoe_model.training") / "configs" / f"{name_or_path}.toml"
    if "/" not in name_or_path and packaged.is_file():
        return packaged.read_text(encoding="utf-8")
    path = Path(name_or_path)
    if not path.is_file():
        known = ", ".join(kind.presets)
        raise TrainingError(f"There is no training config `{name_or_path}`; name a .toml file or one of {known}.")
    return path.read_text(encoding="utf-8")


def assign(document: dict[str, Any], dotted: str, value: Any) -> None:
    """Set one setting of a document by its dotted name.

    Raises:
        TrainingError: A part of the name is a single setting, no table.
    """
    *tables, last = dotted.split(".")
    for depth, key in enumerate(tables, start=1):
        if document.get(key) is None:
            document[key] = {}
        document = document[key]
        if not isinstance(document, dict):
            raise TrainingError(f"`{'.'.join(tables[:depth])}` is a single setting and has no `{dotted}`.")
    document[last] = value
