"""From a run to the command that starts it, or goes on with it."""

import json
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nigaoe.pair_training.config import EncoderRun, GeneratorRun, LatentsRun, PairConfig, StyleRun, TrainingRun
from nigaoe.pair_training.pair_folder import PairPaths
from nigaoe_model.training.plan import STATE
from nigaoe_model.training.run_inputs import Starts


def command_of(config: PairConfig, stage: int, name: str, paths: PairPaths) -> list[str]:
    """Return the command of a run in a stage, as it stands on disk: a new run, or the same run further on.

    A run that was killed before its first saved state begins anew, perhaps with other settings than the first time.
    """
    run, folder = config.runs[name], paths.run(name)
    if isinstance(run, LatentsRun):
        return _nigaoe(_latents(config, name, run, paths))
    goes_on = (folder / STATE).is_file()
    if not goes_on:
        shutil.rmtree(folder, ignore_errors=True)
    if isinstance(run, GeneratorRun):
        options = _generator(config, run) + ([] if goes_on else _generator_starts(name, run))
    elif isinstance(run, StyleRun):
        options = _style(config, run, paths) + ([] if goes_on else _style_starts(config, name, run, paths))
    else:
        options = _encoder(config, run, paths) + ([] if goes_on else _encoder_starts(config, run, paths))
    own, here = flat(run.settings), flat(config.stages[stage].settings.get(name, {}))
    changes = flat(config.settings.get(run.kind, {})) | own | here
    settings = [word for dotted, value in changes.items() for word in ("--set", f"{dotted}={_text(value)}")]
    return _nigaoe([*options, *(["--resume-from"] if goes_on else ["--output"]), str(folder), *settings])


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return tables of tables as dotted names."""
    names: dict[str, Any] = {}
    for name, value in settings.items():
        names |= flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value}
    return names


def _generator(config: PairConfig, run: GeneratorRun) -> list[str]:
    return ["train", "generator", str(config.datasets[run.dataset])]


def _generator_starts(name: str, run: GeneratorRun) -> list[str]:
    starts = {field.replace("_", "-"): getattr(run, field) for field in Starts.model_fields}
    return [*_options({"config": run.config} | starts), "--set", f"name={name}"]


def _style(config: PairConfig, run: StyleRun, paths: PairPaths) -> list[str]:
    """A style of this pair's g_ori, and of the latents of photos as soon as they were found."""
    found = paths.latents(run.photo_latents) if run.photo_latents is not None else None
    latents = _options({"photo-latents": found if found is not None and found.is_file() else None})
    return ["finetune", str(paths.weight(config.generator)), str(config.datasets[run.dataset]), *latents]


def _style_starts(config: PairConfig, name: str, run: StyleRun, paths: PairPaths) -> list[str]:
    starts = {
        "config": run.config,
        "grow": run.grow,
        "init": run.init,
        "init-discriminator": run.init_discriminator or paths.weight(config.generator, "-discriminator"),
        "trainable-blocks": run.trainable_blocks,
    }
    return [*_options(starts), "--set", f"name={name}"]


def _encoder(config: PairConfig, run: EncoderRun, paths: PairPaths) -> list[str]:
    given = {
        "dataset": config.datasets[run.dataset] if run.dataset else None,
        "held-out": config.datasets[run.held_out] if run.held_out else None,
    }
    return ["train", "encoder", str(paths.weight(config.generator)), *_options(given)]


def _encoder_starts(config: PairConfig, run: EncoderRun, paths: PairPaths) -> list[str]:
    """What the config names, else the encoder that learned along with g_ori, if one did."""
    generator = next(other for other in config.runs.values() if isinstance(other, GeneratorRun))
    taught = _taken(generator, paths.run(config.generator), "-encoder")
    return _options({"init": run.init or (taught if taught.is_file() else None)})


def _latents(config: PairConfig, name: str, run: LatentsRun, paths: PairPaths) -> list[str]:
    given = {
        "output": paths.latents(name),
        "encoder": paths.weight(run.encoder) if run.encoder else None,
        "count": run.count,
        "preset": run.preset.value,
        "width": run.width,
        "threads": run.threads,
    }
    sources = [str(paths.weight(config.generator)), str(config.datasets[run.dataset])]
    return ["data", "latents", *sources, *_options(given)]


def _options(given: Mapping[str, Path | str | int | None]) -> list[str]:
    return [word for name, value in given.items() if value is not None for word in (f"--{name}", str(value))]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _nigaoe(words: list[str]) -> list[str]:
    return [sys.executable, "-m", "nigaoe", *words]


def checkpoints_of(config: PairConfig, name: str, paths: PairPaths) -> Iterator[tuple[Path, Path]]:
    """Yield what of a finished run goes into the pair: from where, and to where."""
    run, folder = config.runs[name], paths.run(name)
    if isinstance(run, LatentsRun):
        return
    yield _taken(run, folder), paths.weight(name)
    if isinstance(run, GeneratorRun):
        yield _taken(run, folder, "-discriminator"), paths.weight(name, "-discriminator")


def _taken(run: TrainingRun, folder: Path, part: str = "") -> Path:
    """Return the checkpoint that goes on, or what was written beside it."""
    stem = run.take if (folder / f"{run.take}.safetensors").is_file() else "latest"
    return folder / f"{stem}{part}.safetensors"
