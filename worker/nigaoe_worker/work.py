"""What is done for a job between its claim and its end: a conversion from a crop, or a restyle from a latent."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nigaoe_core.errors import UnknownBlob
from nigaoe_core.jobs import Job, JobKind, JobReport, Outcome, Progress
from nigaoe_core.settings import Settings
from nigaoe_core.store.blob_store import CROP, LATENT, PHOTO
from nigaoe_faces.images import ImageLimits, read_photo
from nigaoe_faces.result_encoder import ResultEncoder
from nigaoe_model.inversion.settings import PRESETS
from nigaoe_model.portrait.convert import Conversion, ConversionOptions, conclude, redraw, target_of, with_seed
from nigaoe_model.portrait.drawing import Look
from nigaoe_model.portrait.pair import Pair
from nigaoe_model.portrait.stored_latent import StoredLatent
from nigaoe_worker.device import Engine
from nigaoe_worker.job_blobs import JobBlobs
from nigaoe_worker.leases import ClaimedJob
from nigaoe_worker.model_cache import ModelCache, load_what_changed
from nigaoe_worker.pictures import PhotoFrame, put_frames, put_pasted, put_portrait
from nigaoe_worker.search import Search
from nigaoe_worker.stages import Stages


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
        return (
            self._restyle(claimed, blobs)
            if claimed.claim.job.kind is JobKind.RESTYLE
            else self._convert(claimed, blobs)
        )

    def _convert(self, claimed: ClaimedJob, blobs: JobBlobs) -> Outcome:
        job = claimed.claim.job
        stages = Stages(claimed)
        with stages.stage("preparing"):
            pair = self._pair(job)
            crop = self._read_crop(job, blobs)
            target = target_of(crop, pair.g_ori.card.architecture.resolution)
        options = options_of(job)
        search = Search(claimed, pair, options, target, with_previews=self._with_previews)
        with stages.stage("inverting", Progress()):
            results = search.run(self._engine)
        with stages.stage("decoding", _after(search, "decoding")):
            conversion = self._engine.do(
                lambda: conclude(pair, options, results, target, self._models.upscaler, seed=job.options.seed)
            )
        with stages.stage("storing", _after(search, "storing")):
            put_portrait(blobs, conversion.portrait, self._results)
            blobs.put(LATENT, conversion.latent.to_bytes())
            put_frames(blobs, search.frames)
            warnings = self._paste_back(job, blobs, pair, conversion)
        return Outcome(blobs=blobs.stored, report=_report(conversion.report, warnings), timings=stages.timings)

    def _restyle(self, claimed: ClaimedJob, blobs: JobBlobs) -> Outcome:
        job = claimed.claim.job
        stages = Stages(claimed)
        with stages.stage("preparing"):
            pair = self._pair(job)
            latent = StoredLatent.from_bytes(blobs.read(_key_of(job, LATENT)))
        with stages.stage("decoding", Progress(stage="decoding")):
            latent = with_seed(latent, job.options.seed, pair)
            look = options_of(job).look
            portrait = self._engine.do(lambda: redraw(pair, latent, look, self._models.upscaler), urgent=True)
        with stages.stage("storing", Progress(stage="storing")):
            put_portrait(blobs, portrait, self._results)
        report = JobReport(
            distance_end=latent.card.distance, stop_reason="restyled", models={**pair.model_ids, "style": pair.style}
        )
        return Outcome(blobs=blobs.stored, report=report, timings=stages.timings)

    def _pair(self, job: Job) -> Pair:
        # A style may have been installed a moment ago, seen by the API and not yet by this worker.
        if job.options.style not in self._models.styles and self._models.is_outdated():
            load_what_changed(self._models, self._engine)
        return self._models.pair(job.options.style)

    def _read_crop(self, job: Job, blobs: JobBlobs) -> NDArray[np.uint8]:
        return read_photo(blobs.read(_key_of(job, CROP)), self._limits)

    def _paste_back(self, job: Job, blobs: JobBlobs, pair: Pair, conversion: Conversion) -> tuple[str, ...]:
        if not job.options.paste_back:
            return ()
        if PHOTO not in job.blobs or not job.faces:
            return ("The photo is gone, so the portrait could not be pasted back into it.",)
        face = job.faces[job.options.face if isinstance(job.options.face, int) else 0]
        photo = read_photo(blobs.read(job.blobs[PHOTO]), self._limits)
        frame = PhotoFrame(photo, face.landmarks, pair.g_ori.card.alignment)
        put_pasted(blobs, frame, conversion.portrait, self._results)
        return ()


def options_of(job: Job) -> ConversionOptions:
    """Return how a job's face is found and drawn."""
    chosen = job.options
    look = Look(degree=chosen.degree, truncation_psi=chosen.truncation, colours=chosen.colours)
    return ConversionOptions(chosen.method, PRESETS[chosen.preset], look)


def _key_of(job: Job, name: str) -> str:
    if name not in job.blobs:
        raise UnknownBlob("What this job needs is gone; send the photo again.")
    return job.blobs[name]


def _after(search: Search, stage: str) -> Progress:
    return search.progress.model_copy(update={"stage": stage})


def _report(found: dict[str, Any], warnings: tuple[str, ...]) -> JobReport:
    return JobReport(
        distance_start=found["distance_start"],
        distance_end=found["distance_end"],
        steps=found["steps"],
        stop_reason=found["stop_reason"],
        start=found["start"],
        models=found["models"],
        warnings=warnings,
    )
