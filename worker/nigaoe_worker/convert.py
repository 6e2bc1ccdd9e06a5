"""What is done for a job between its claim and its end: a conversion from a crop, or a restyle from a latent.

A conversion is a search and a drawing of what was found, or one pass: of an instant portrait, and of a feed-forward
style, which keeps no latent.
The result's blobs: the portrait, the person and the latent, and that from which the API makes other pictures on request
(`nigaoe_core.store.blob_store.ON_REQUEST`), such as the frames of a film.
"""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from nigaoe_core.errors import InversionError, NoLatent, UnknownBlob
from nigaoe_core.jobs import Job, JobKind, JobReport, Outcome, Progress, Seconds
from nigaoe_core.settings import Settings
from nigaoe_core.store.blob_store import (
    ANIMATION,
    COMPARE,
    CROP,
    FRAMES,
    LATENT,
    PASTED,
    PERSON,
    PHOTO,
    REFERENCE,
    RESULT_PNG,
    RESULT_WEBP,
)
from nigaoe_core.style_methods import REVERSE_GENERATION
from nigaoe_core.telemetry import span
from nigaoe_faces.align import AlignmentTemplate, align_face, paste_back
from nigaoe_faces.encoding import encode_jpeg
from nigaoe_faces.images import ImageLimits, read_photo
from nigaoe_faces.result_encoder import COMPOSITE, ResultEncoder
from nigaoe_model.inversion.settings import PRESETS
from nigaoe_model.pixels import to_rgb
from nigaoe_model.portrait.convert import Conversion, ConversionOptions, conclude, redraw, target_of, with_seed
from nigaoe_model.portrait.drawing import Look
from nigaoe_model.portrait.feed_forward import FeedForwardStyle, OnePassDrawing, OnePassRequest, check_request
from nigaoe_model.portrait.instant import InstantRequest, check_instant
from nigaoe_model.portrait.pair import Pair
from nigaoe_model.portrait.stored_latent import StoredLatent
from nigaoe_worker.device import Engine
from nigaoe_worker.job_blobs import JobBlobs
from nigaoe_worker.leases import ClaimedJob
from nigaoe_worker.model_cache import ModelCache, load_what_changed
from nigaoe_worker.one_pass import FeedForwardPass, InstantPass, PassRequest
from nigaoe_worker.search import Search

FRAME_QUALITY: Final = 95
"""The film is compressed further, so nobody sees this; without loss it would take fifteen times as long."""
REPORTED: Final = ("distance_start", "distance_end", "steps", "stop_reason", "start", "models")
"""What of a conversion's report is kept with its job."""


class JobRunner:
    """Runs claimed jobs; the device's share of the work runs in the engine's thread.

    Args:
        engine: The device.
        models: The generators.
        settings: Limits of pictures, whether previews are sent, and the certificate that signs results.

    Raises:
        InvalidSettings: The certificate cannot sign.
    """

    def __init__(self, engine: Engine, models: ModelCache, settings: Settings) -> None:
        self._engine = engine
        self._models = models
        self._with_previews = settings.preview_seconds > 0
        self._results = ResultEncoder.from_settings(settings)
        self._limits = ImageLimits(
            max_bytes=settings.max_upload_bytes, max_pixels=settings.max_pixels, max_side=settings.max_side
        )

    def run(self, claimed: ClaimedJob, blobs: JobBlobs) -> Outcome:
        """Do all that a job asks for; its blobs are stored when this returns.

        Raises:
            JobStopped: The job must stop.
            NigaoeError: The job has failed.
            DeviceLost: The device is gone; the job should go to another worker.
        """
        style = self._style(claimed.job)
        if isinstance(style, FeedForwardStyle):
            return self._draw(style, claimed, blobs)
        run = self._restyle if claimed.job.kind is JobKind.RESTYLE else self._convert
        return run(style, claimed, blobs)

    def _convert(self, pair: Pair, claimed: ClaimedJob, blobs: JobBlobs) -> Outcome:
        job, timer = claimed.job, StageTimer(claimed)
        with timer.stage("preparing"):
            crop = read_photo(blobs.read(_key_of(job, CROP)), self._limits)
            target = target_of(crop, pair.g_ori.card.architecture.resolution)
            options = options_of(job)
        search = Search(claimed, pair, options, target, with_previews=self._with_previews)
        if options.is_searched:
            with timer.stage("inverting", Progress()):
                results = search.run(self._engine)
            with timer.stage("decoding", search.progress):
                conversion = self._engine.do(
                    lambda: conclude(pair, options, results, target, self._models.upscaler, seed=job.options.seed)
                )
        else:
            with timer.stage("decoding", Progress()):
                conversion = self._draw_guess(pair, options.look, target, claimed)
        with timer.stage("storing", search.progress):
            self._store(blobs, conversion.portrait.picture, conversion.portrait.person)
            blobs.put(LATENT, conversion.latent.to_bytes())
            store_frames(blobs, search.frames)
            warnings = self._paste_back(job, blobs, pair.g_ori.card.alignment, conversion.portrait.picture)
        report = {name: conversion.report[name] for name in REPORTED}
        return Outcome(
            blobs=blobs.stored,
            report=JobReport(**report, method=REVERSE_GENERATION, warnings=warnings),
            timings=timer.timings,
        )

    def _draw_guess(self, pair: Pair, look: Look, target: Tensor, claimed: ClaimedJob) -> Conversion:
        request = InstantRequest(target, claimed.job.options.seed)
        check_instant(pair, request)
        drawn: Conversion = self._in_a_pass(claimed, InstantPass(pair, look, self._models.upscaler), request)
        return drawn

    def _draw(self, style: FeedForwardStyle, claimed: ClaimedJob, blobs: JobBlobs) -> Outcome:
        job, timer = claimed.job, StageTimer(claimed)
        if job.kind is JobKind.RESTYLE:
            raise NoLatent(f"The style `{style.style}` draws photos, not latents; convert the photo again with it.")
        with timer.stage("preparing"):
            photo = self._read_aligned(job, CROP, style, blobs)
            reference = self._read_aligned(job, REFERENCE, style, blobs) if REFERENCE in job.blobs else None
            wanted = OnePassRequest(photo, job.options.seed, reference)
            check_request(style, wanted)
        with timer.stage("decoding", Progress()):
            drawn: OnePassDrawing = self._in_a_pass(claimed, FeedForwardPass(style, self._models.upscaler), wanted)
        with timer.stage("storing", Progress()):
            self._store(blobs, drawn.picture)
            warnings = self._paste_back(job, blobs, style.alignment, drawn.picture)
        report = {name: drawn.report[name] for name in ("method", "seed", "reference", "models")}
        return Outcome(
            blobs=blobs.stored,
            report=JobReport(**report, stop_reason="one_pass", warnings=warnings),
            timings=timer.timings,
        )

    def _in_a_pass(
        self, claimed: ClaimedJob, kind: FeedForwardPass | InstantPass, photo: OnePassRequest | InstantRequest
    ) -> Any:
        """Wait for a pass, and return what its kind draws."""
        job = claimed.job
        request = PassRequest(
            kind,
            photo,
            priority=job.options.priority,
            queued_at=job.queued_at,
            cancelled=lambda: claimed.is_stopped,
        )
        try:
            return self._engine.draw(request).result()
        except CancelledError:
            claimed.check()
            raise InversionError("The drawing was cancelled before it began; ask again.") from None

    def _read_aligned(self, job: Job, name: str, style: FeedForwardStyle, blobs: JobBlobs) -> Tensor:
        """Read a crop or a reference as the network takes it. # [3, R, R] in [-1, 1]."""
        return target_of(read_photo(blobs.read(_key_of(job, name)), self._limits), style.resolution)

    def _restyle(self, pair: Pair, claimed: ClaimedJob, blobs: JobBlobs) -> Outcome:
        job, timer = claimed.job, StageTimer(claimed)
        with timer.stage("preparing"):
            latent = StoredLatent.from_bytes(blobs.read(_key_of(job, LATENT)))
        with timer.stage("decoding", Progress()):
            latent = with_seed(latent, job.options.seed, pair)
            look = options_of(job).look
            portrait = self._engine.do(lambda: redraw(pair, latent, look, self._models.upscaler), urgent=True)
        with timer.stage("storing", Progress()):
            self._store(blobs, portrait.picture, portrait.person)
        report = JobReport(
            distance_end=latent.card.distance,
            stop_reason="restyled",
            method=REVERSE_GENERATION,
            models={**pair.model_ids, "style": pair.style},
        )
        return Outcome(blobs=blobs.stored, report=report, timings=timer.timings)

    def _style(self, job: Job) -> Pair | FeedForwardStyle:
        # A style may have been installed a moment ago, seen by the API and not yet by this worker.
        if job.options.style not in self._models.styles and self._models.is_outdated():
            load_what_changed(self._models, self._engine)
        return self._models.style(job.options.style)

    def _store(self, blobs: JobBlobs, drawing: Tensor, person: Tensor | None = None) -> None:
        blobs.put(RESULT_PNG, self._results.png(to_rgb(drawing)))
        if person is not None:
            blobs.put(PERSON, self._results.png(to_rgb(person)))
        blobs.reserve(RESULT_WEBP)
        blobs.reserve(COMPARE)

    def _paste_back(self, job: Job, blobs: JobBlobs, template: AlignmentTemplate, drawing: Tensor) -> tuple[str, ...]:
        """Store the photo with the portrait in the place of the face, if the job asks for it; return warnings."""
        if not job.options.paste_back:
            return ()
        if PHOTO not in job.blobs or not job.faces:
            return ("The photo is gone, so the portrait could not be pasted back into it.",)
        face = job.faces[job.options.face if isinstance(job.options.face, int) else 0]
        photo = read_photo(blobs.read(job.blobs[PHOTO]), self._limits)
        picture = to_rgb(drawing)
        _, alignment = align_face(photo, np.asarray(face.landmarks), template, picture.shape[0])
        blobs.put(PASTED, self._results.png(paste_back(photo, picture, alignment), COMPOSITE))
        return ()


class StageTimer:
    """Times the stages of one job (preparing, inverting, decoding, storing), and reports each as it begins.

    Args:
        claimed: The job.

    Attributes:
        timings: Seconds by stage.
    """

    def __init__(self, claimed: ClaimedJob) -> None:
        self.timings: dict[str, Seconds] = {}
        self._claimed = claimed

    @contextmanager
    def stage(self, name: str, progress: Progress | None = None) -> Iterator[None]:
        """Time a block; the job may be stopped before it begins.

        Args:
            name: Of the stage.
            progress: What is reported, under the stage's name; None: nothing.

        Raises:
            JobStopped: The job must stop.
        """
        self._claimed.check()
        if progress is not None:
            self._claimed.update(progress=progress.model_copy(update={"stage": name}))
        start = time.perf_counter()
        with span(f"job.{name}"):
            try:
                yield
            finally:
                self.timings[name] = round(time.perf_counter() - start, 4)


def store_frames(blobs: JobBlobs, frames: Sequence[Tensor]) -> None:
    """Store pictures of the search as one JPEG, one above the other, for a film.

    Args:
        blobs: Where to.
        frames: Oldest first, in [-1, 1]; none: there will be no film. # [3, S, S].
    """
    if frames:
        blobs.put(FRAMES, encode_jpeg(to_rgb(torch.cat(list(frames), dim=1)), FRAME_QUALITY))
        blobs.reserve(ANIMATION)


def options_of(job: Job) -> ConversionOptions:
    """Return how a job's face is found and drawn."""
    chosen = job.options
    look = Look(degree=chosen.degree, truncation_psi=chosen.truncation, colours=chosen.colours)
    return ConversionOptions(chosen.method, PRESETS[chosen.preset], look)


def _key_of(job: Job, name: str) -> str:
    if name not in job.blobs:
        raise UnknownBlob("What this job needs is gone; send the photo again.")
    return job.blobs[name]
