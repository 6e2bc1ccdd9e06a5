"""What a pair is made of, as a TOML file: data sets, runs, and stages that share the minutes."""

import tomllib
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from nigaoe_core.config_errors import explain
from nigaoe_core.errors import TrainingError
from nigaoe_core.jobs import Preset
from nigaoe_model.training.config import assign
from nigaoe_model.training.run_inputs import Section, Starts

PRESETS = ("pair64", "pair128")
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,40}$")]
Taken = Literal["best", "latest"]
Share = Annotated[float, Field(gt=0)]


class TrainingRun(Section):
    """What runs of generators, styles and encoders have in common.

    Attributes:
        settings: Changes to the run's config, as ``--set`` makes them; tables or dotted names.
        take: Which checkpoint goes on into the pair: the last one, or the one with the best score. A run that time
            ends has rarely been scored just before, so the best one may be minutes old. Where nothing was scored it is
            the last one.
    """

    settings: dict[str, Any] = Field(default_factory=dict)
    take: Taken = "latest"


class GeneratorRun(TrainingRun, Starts):
    """``nigaoe train``: the pair's g_ori.

    Attributes:
        dataset: Name of a data set.
        config: Preset or TOML file.
    """

    kind: Literal["generator"]
    dataset: str
    config: str = "tiny64"


class StyleRun(TrainingRun):
    """``nigaoe finetune``: a g_fin of the pair's g_ori.

    Attributes:
        dataset: Name of a data set.
        config: Preset or TOML file.
        trainable_blocks: Last resolutions that learn; None: the config's.
        grow: Style of half the resolution whose last blocks it starts from.
        init: Style whose last blocks it starts from.
        init_discriminator: Discriminator to start from; None: g_ori's.
        photo_latents: Name of the run that finds latents of photos; they are shown as soon as they are found.
        title: For the manifest.
        description: For the manifest.
    """

    kind: Literal["style"]
    dataset: str
    config: str = "anime64"
    trainable_blocks: Annotated[int, Field(ge=1, le=9)] | None = None
    grow: Path | None = None
    init: Path | None = None
    init_discriminator: Path | None = None
    photo_latents: str | None = None
    title: str = ""
    description: str = ""


class EncoderRun(TrainingRun):
    """``nigaoe train encoder`` for the pair's g_ori.

    Attributes:
        dataset: Name of a data set of photos; None: own faces only.
        held_out: Name of a data set of photos that training never shows.
        init: Encoder to start from; None: the one that learned along with g_ori by ``reconstruction.weight``, if any.
    """

    kind: Literal["encoder"]
    dataset: str | None = None
    held_out: str | None = None
    init: Path | None = None


class LatentsRun(Section):
    """``nigaoe data latents``: latents of photos in the pair's g_ori.

    Attributes:
        dataset: Name of a data set of photos.
        encoder: Name of the run whose encoder guesses where searches start; None: they start at the mean face.
        count: Photos to search.
        preset: How far each is searched.
        width: Photos that are searched as one batch.
        threads: CPU threads; None leaves PyTorch's choice.
    """

    kind: Literal["latents"]
    dataset: str
    encoder: str | None = None
    count: Annotated[int, Field(ge=1)] = 1_000
    preset: Preset = Preset.DRAFT
    width: Annotated[int, Field(ge=1)] = 64
    threads: Annotated[int, Field(ge=1)] | None = None


Run = Annotated[GeneratorRun | StyleRun | EncoderRun | LatentsRun, Field(discriminator="kind")]


class Stage(Section):
    """A part of the minutes.

    Attributes:
        name: For people.
        share: Of the minutes, beside the other stages' shares; ``4`` of ten is four minutes of ten.
        runs: Names of runs that go side by side, each a process of its own. A run that is named by several stages goes
            on where it was.
        settings: Run to changes of its config that hold in this stage; they win over the run's own.
    """

    name: str
    share: Share
    runs: Annotated[tuple[str, ...], Field(min_length=1)]
    settings: dict[str, dict[str, Any]] = Field(default_factory=dict)


class ReportSettings(Section):
    """The report at the end.

    Attributes:
        share: Of the minutes.
        samples: Pictures drawn for each distance.
        photos: Photos that the sheet shows beside their drawings, from the encoder's held-out photos.
        threads: CPU threads; None leaves PyTorch's choice.
    """

    share: Annotated[float, Field(ge=0)] = 0.3
    samples: Annotated[int, Field(ge=8)] = 1_000
    photos: Annotated[int, Field(ge=0, le=16)] = 8
    threads: Annotated[int, Field(ge=1)] | None = None


class PairConfig(Section):
    """A whole pair.

    Attributes:
        name: Of the pair.
        datasets: Name to folder, written by ``nigaoe data prepare``.
        settings: Changes to the configs of all runs of a kind; a run's own settings win.
        runs: Name to what runs.
        stages: In order.
        report: The report at the end.
    """

    name: Name = "pair"
    datasets: dict[str, Path]
    settings: dict[Literal["generator", "style", "encoder"], dict[str, Any]] = Field(default_factory=dict)
    runs: dict[Name, Run]
    stages: Annotated[tuple[Stage, ...], Field(min_length=1)]
    report: ReportSettings = ReportSettings()

    @property
    def generator(self) -> str:
        """Name of the run that makes g_ori."""
        return next(name for name, run in self.runs.items() if run.kind == "generator")

    def last_stage(self, run: str) -> int:
        """Return the number of the last stage that names a run."""
        return max(number for number, stage in enumerate(self.stages) if run in stage.runs)

    @property
    def shares(self) -> float:
        """Sum of all shares, the report's included."""
        return sum(stage.share for stage in self.stages) + self.report.share

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        mistake = next(_mistakes(self), None)
        if mistake is not None:
            raise ValueError(mistake)
        return self


def load_pair_config(name_or_path: str, overrides: dict[str, Any] | None = None) -> PairConfig:
    """Read a preset or a TOML file.

    Args:
        name_or_path: ``pair64``, ``pair128``, or the path of a ``.toml`` file.
        overrides: Dotted names to values; they win over the file.

    Raises:
        TrainingError: There is no such file, a setting is unknown or out of range, or stages and runs disagree.
    """
    try:
        document = tomllib.loads(_text(name_or_path))
        for dotted, value in (overrides or {}).items():
            assign(document, dotted, value)
        return PairConfig.model_validate(document)
    except tomllib.TOMLDecodeError as error:
        raise TrainingError(f"`{name_or_path}` is no TOML: {error}.") from error
    except ValidationError as error:
        raise TrainingError(f"The pair's config `{name_or_path}`: {explain(error, PairConfig)}") from error


def _text(name_or_path: str) -> str:
    packaged = resources.files("nigaoe.pair_training") / "configs" / f"{name_or_path}.toml"
    if "/" not in name_or_path and packaged.is_file():
        return packaged.read_text(encoding="utf-8")
    path = Path(name_or_path)
    if not path.is_file():
        known = " or ".join(PRESETS)
        raise TrainingError(f"There is no config of a pair `{name_or_path}`; name a .toml file, or {known}.")
    return path.read_text(encoding="utf-8")


def _mistakes(config: PairConfig) -> Iterator[str]:
    """Say what does not fit together."""
    kinds = [run.kind for run in config.runs.values()]
    if kinds.count("generator") != 1:
        yield f"a pair has one run of kind `generator`, not {kinds.count('generator')}"
    if kinds.count("encoder") > 1:
        yield "a pair has one encoder at most"
    for stage in config.stages:
        for name in stage.runs:
            if name not in config.runs:
                yield f"the stage `{stage.name}` names `{name}`, which is no run; there are {', '.join(config.runs)}"
        if len(set(stage.runs)) < len(stage.runs):
            yield f"the stage `{stage.name}` names a run twice"
        for name in stage.settings.keys() - set(stage.runs):
            yield f"the stage `{stage.name}` has settings of `{name}`, which does not run in it"
    for name, run in config.runs.items():
        yield from _mistakes_of(config, name, run)


def _mistakes_of(config: PairConfig, name: str, run: Run) -> Iterator[str]:
    stages = [number for number, stage in enumerate(config.stages) if name in stage.runs]
    if not stages:
        yield f"no stage names the run `{name}`"
        return
    for what in {run.dataset, getattr(run, "held_out", None)} - {None}:
        if what not in config.datasets:
            yield f"the run `{name}` needs the data set `{what}`, which [datasets] does not name"
    if run.kind != "generator" and stages[0] <= config.last_stage(config.generator):
        yield f"the run `{name}` needs the finished generator; put it into a later stage"
    if isinstance(run, LatentsRun) and run.encoder is not None:
        yield from _mistaken_need(config, name, run.encoder, EncoderRun, before=stages[0])
    if isinstance(run, StyleRun) and run.photo_latents is not None:
        yield from _mistaken_need(config, name, run.photo_latents, LatentsRun, before=stages[-1])


def _mistaken_need(config: PairConfig, name: str, needed: str, kind: type[Section], *, before: int) -> Iterator[str]:
    if not isinstance(config.runs.get(needed), kind):
        yield f"the run `{name}` needs `{needed}`, which is no run of that kind"
    elif not any(needed in stage.runs for stage in config.stages[:before]):
        yield f"the run `{name}` needs `{needed}`, to which no earlier stage gives time"
