"""Every setting of an encoder's training, resolved, and saved beside the run.

Durations count pictures shown, so that they keep their meaning at any batch size.
"""

from typing import Annotated, Final, Literal

from pydantic import Field

from nigaoe_core.jobs import Preset
from nigaoe_model.inversion.encoder.architecture import FEATURES, Width
from nigaoe_model.inversion.settings import PRESETS, LossWeights
from nigaoe_model.training.config import AverageSettings, Fraction, Images, Positive, Weight
from nigaoe_model.training.run_inputs import Section

SEARCH: Final = PRESETS[Preset.STANDARD]
"""What a guess is judged by unless a run says otherwise: the search that goes on from it."""


class OwnFaceSettings(Section):
    """Which faces the generator draws for its encoder.

    Attributes:
        style_mixing: Probability that a face has two styles, one up to a random layer and one from there on.
        jitter: Standard deviation, at most, by which each layer's style is moved on its own, in those of w: photos
            need latents near W, not only in it.
        redrawn: Share of the own faces that is also redrawn from the guess and compared as a picture; the rest is
            judged by its known latent alone, which costs far less.
    """

    style_mixing: Fraction = 0.5
    jitter: Weight = 0.3
    redrawn: Fraction = 0.25


class OptimiserSettings(Section):
    """Adam.

    Attributes:
        learning_rate: After the warm-up.
        beta2: Decay of the second moment.
        warm_up_images: Pictures over which the rate rises from zero.
        schedule: ``constant``, or ``cosine``: falling to zero at ``total_images``.
    """

    learning_rate: Positive = 1e-3
    beta2: Fraction = 0.99
    warm_up_images: Images = 1_000
    schedule: Literal["constant", "cosine"] = "cosine"


class CadenceSettings(Section):
    """How often the run logs, saves and scores.

    Attributes:
        log_images: Pictures from one line of the log to the next.
        save_seconds: Seconds from one saved state to the next.
        score_images: Pictures from one examination to the next; 0 leaves only the last one.
        score_faces: Own faces, and held-out photos at most, of an examination.
    """

    log_images: Annotated[int, Field(gt=0)] = 2_000
    save_seconds: Positive = 300.0
    score_images: Images = 10_000
    score_faces: Annotated[int, Field(ge=1)] = 64


class ComputeSettings(Section):
    """Where numbers are computed.

    Attributes:
        device: ``auto`` takes the GPU where there is one.
        precision: Of the encoder and of the generator that redraws its guesses; losses, own faces and examinations are
            always computed in fp32. ``auto`` is bf16 where the machine multiplies it natively, else fp32.
        threads: CPU threads; None leaves PyTorch's choice.
        step_graphs: Record whole steps as CUDA graphs and replay them; ``auto`` does so on an NVIDIA GPU.
        seed: Start of every random number of the run.
    """

    device: str = "auto"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    threads: Annotated[int, Field(ge=1)] | None = None
    step_graphs: Literal["auto"] | bool = "auto"
    seed: Annotated[int, Field(ge=0)] = 0


class NetworkSettings(Section):
    """Shape of the network, where it shall not be the usual one.

    Attributes:
        widths: Channels from the encoder's input resolution down to 4 pixels; None: the usual ones.
        features: Numbers that describe a face before the layers' heads.
    """

    widths: tuple[Width, ...] | None = None
    features: Annotated[int, Field(ge=4, le=4096)] = FEATURES


class EncoderConfig(Section):
    """A whole run.

    Attributes:
        name: Of the file; None: the generator's name and ``-encoder``.
        licence: Of the weights; None: the generator's.
        total_images: Pictures after which the run ends.
        batch: Pictures a step.
        photo_share: Share of photos in a batch, where a data set is given; the rest are own faces.
        variation: How much every other photo's framing and light are varied
            (:func:`nigaoe_model.training.encoder.faces.varied`): few photos then teach more.
        code: Weight of the distance between guessed and known latents of own faces, in units of w's variance.
        weights: Terms by which the redrawn guess is compared with the picture, as in a search: pictures, and the priors
            that keep the guess near the mean and near W.
        background: Weight of pixels off the head, as in a search; examinations count with it, too.
        held_out: Last photos of the data set that are kept for examinations where no other set is named.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")] | None = None
    licence: str | None = None
    total_images: Annotated[int, Field(gt=0)] = 200_000
    batch: Annotated[int, Field(ge=1)] = 16
    photo_share: Fraction = 0.75
    variation: Fraction = 0.5
    code: Weight = 0.2
    weights: LossWeights = SEARCH.weights
    background: Fraction = SEARCH.background
    held_out: Annotated[int, Field(ge=1)] = 64
    own_faces: OwnFaceSettings = OwnFaceSettings()
    optimiser: OptimiserSettings = OptimiserSettings()
    average: AverageSettings = AverageSettings(halflife_images=5_000)
    cadence: CadenceSettings = CadenceSettings()
    compute: ComputeSettings = ComputeSettings()
    network: NetworkSettings = NetworkSettings()
