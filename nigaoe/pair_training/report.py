"""The report of a pair: what each minute was spent on, curves, sheets, distances beside their floors."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nigaoe.pair_training.config import EncoderRun, GeneratorRun, PairConfig, StyleRun
from nigaoe.pair_training.journal import Journal, read_journal
from nigaoe.pair_training.pair_folder import PairPaths
from nigaoe_model.inversion.encoder.checkpoint import load_encoder_of
from nigaoe_model.stylegan2.checkpoint import Checkpoint, load_checkpoint
from nigaoe_model.stylegan2.generator import Generator
from nigaoe_model.training.dataset import PackedDataset, to_bytes
from nigaoe_model.training.distributed import Team
from nigaoe_model.training.photo_latents import PhotoLatents
from nigaoe_model.training.report import Report
from nigaoe_model.training.run_log import read_log
from nigaoe_model.training.sample_grid import draw_styles, fixed_latents, sheet_image
from nigaoe_model.training.scoring import Examiner, data_floor

COLUMNS = 8
SHEET_WIDTH = 1024
PSI = 0.7
CURVES = (
    "fd_effnet", "fd_photos", "recall", "g_loss", "d_loss", "augment_p", "moments", "photo_start", "own_start",
    "distance", "images_per_second",
)  # fmt: skip


def write_report(paths: PairPaths) -> Path:
    """Write ``report.html``, its pictures and ``measures.json``; return the page.

    Raises:
        TrainingError: The folder holds no pair.
        CheckpointError: A checkpoint of it is missing or damaged.
    """
    journal = read_journal(paths.journal)
    _set_up_torch(journal.config)
    pair = _load(journal.config, paths)
    report = Report(f"Nigaoe: the pair {journal.config.name}")
    report.rows("Minutes", ("stage", "run", "minutes", "images in all"), list(_minutes(journal)))
    measures = {name: _measure(journal.config, name, pair, paths) for name in pair.generators}
    for name, values in measures.items():
        report.table(f"{name} against its data", values)
    for heading, picture in _sheets(journal.config, pair):
        report.picture(heading, picture)
        _write_picture(paths.report / f"{heading.partition(':')[0].lower().replace(' ', '-')}.png", picture)
    for name in journal.config.runs:
        report.curves(f"Curves of {name}", read_log(paths.run(name)), CURVES)
    (paths.report / "measures.json").write_text(json.dumps(measures, indent=2) + "\n", encoding="utf-8")
    page = paths.report / "report.html"
    report.write(page)
    return page


@dataclass(frozen=True, slots=True)
class _LoadedPair:
    """All networks of a pair, on the best device.

    Attributes:
        device: That device.
        parent: Checkpoint of g_ori.
        generators: Run to generator, g_ori first.
        encoder: Path of the encoder; None: there is none.
    """

    device: torch.device
    parent: Checkpoint
    generators: dict[str, Generator]
    encoder: Path | None


def _set_up_torch(config: PairConfig) -> None:
    torch.set_flush_denormal(True)
    if config.report.threads is not None:
        torch.set_num_threads(config.report.threads)


def _load(config: PairConfig, paths: PairPaths) -> _LoadedPair:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    parent = load_checkpoint(paths.weight(config.generator))
    generators = {config.generator: parent.build_generator(device)}
    for name, run in config.runs.items():
        if isinstance(run, StyleRun):
            generators[name] = load_checkpoint(paths.weight(name)).build_generator(device)
    encoders = (paths.weight(name) for name, run in config.runs.items() if isinstance(run, EncoderRun))
    return _LoadedPair(device, parent, generators, next(encoders, None))


def _minutes(journal: Journal) -> Iterator[tuple[str, str, str, str]]:
    for stage, records in zip(journal.config.stages, journal.stages, strict=True):
        for name, record in records.items():
            images = f"{record.images:,}" if record.images is not None else ""
            yield stage.name, name, f"{record.seconds / 60:.2f}", images


def _measure(config: PairConfig, name: str, pair: _LoadedPair, paths: PairPaths) -> dict[str, float]:
    """Return the distances of one generator, and of the data's halves to each other, all of as many samples."""
    run = config.runs[name]
    assert isinstance(run, GeneratorRun | StyleRun)  # noqa: S101 - only those have generators
    dataset = PackedDataset(config.datasets[run.dataset])
    samples = max(2, min(config.report.samples, len(dataset) // 2))
    latents = _photo_latents(run, pair, paths)
    examiner = Examiner(dataset, samples, Team(0, 1, pair.device), latents, least_psi=PSI)
    score = examiner.examine(pair.generators[name]).numbers
    floor = data_floor(dataset, samples, pair.device)
    return score | {"fd_of_the_data's_halves": floor, "fd_in_floors": score["fd_effnet"] / max(floor, 1e-9)}


def _photo_latents(run: GeneratorRun | StyleRun, pair: _LoadedPair, paths: PairPaths) -> PhotoLatents | None:
    if not isinstance(run, StyleRun) or run.photo_latents is None:
        return None
    path = paths.latents(run.photo_latents)
    return PhotoLatents.load(path, pair.parent).to(pair.device) if path.is_file() else None


@torch.no_grad()
def _sheets(config: PairConfig, pair: _LoadedPair) -> Iterator[tuple[str, bytes]]:
    g_ori = pair.generators[config.generator]
    z = fixed_latents(COLUMNS, g_ori.architecture.z_dim).to(pair.device)
    ws = g_ori.mapping.truncate(g_ori.mapping.broadcast(g_ori.mapping(z)), PSI)
    rows = [draw_styles(generator, ws) for generator in pair.generators.values()]
    yield f"Drawn faces: the same latents, from above {', '.join(pair.generators)}", _png(rows)
    photos = _photos(config)
    if pair.encoder is None or photos is None:
        return
    encoder = load_encoder_of(pair.encoder, pair.parent.card, pair.parent.digest, pair.device)
    guessed = encoder.network(photos.to(pair.device))
    rows = [to_bytes(photos), *(draw_styles(generator, guessed) for generator in pair.generators.values())]
    names = ", ".join(pair.generators)
    yield f"Photos: and the encoder's guesses, from above photos, {names}", _png(rows)


def _photos(config: PairConfig) -> Tensor | None:
    """Return photos that no training showed, as far as the encoder kept some. # [N, 3, R, R]; None: there are none."""
    run = next((run for run in config.runs.values() if isinstance(run, EncoderRun)), None)
    name = (run.held_out or run.dataset) if run is not None else None
    if name is None or not config.report.photos:
        return None
    dataset = PackedDataset(config.datasets[name])
    return dataset.pictures(np.arange(len(dataset))[-config.report.photos :])


def _png(rows: list[Tensor]) -> bytes:
    """Lay rows of pictures # [N, 3, R, R] below each other, large enough to be seen."""
    file = BytesIO()
    scale = max(1, SHEET_WIDTH // (len(rows[0]) * rows[0].shape[-1]))
    sheet_image(torch.cat(rows), columns=len(rows[0]), scale=scale).save(file, "PNG")
    return file.getvalue()


def _write_picture(path: Path, png: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png)
