"""Ordering conversions: photos and options become jobs with a crop each."""

from collections.abc import Sequence

from starlette.concurrency import run_in_threadpool

from nigaoe_api.batches import in_batch
from nigaoe_api.caller import Caller
from nigaoe_api.face_finder import FaceFinder, PreparedPhoto
from nigaoe_api.intake import Intake, Order
from nigaoe_api.rate_limits import RateLimits
from nigaoe_api.request_schemas import ConvertOptions
from nigaoe_api.style_catalogue import Framing, StyleCatalogue
from nigaoe_core.errors import NigaoeError
from nigaoe_core.jobs import Job, JobOptions, new_job
from nigaoe_core.store.blob_store import CROP, PHOTO
from nigaoe_core.store.contract import Submission


class Conversions:
    """Orders conversions.

    Args:
        intake: Stores the jobs.
        styles: What may be ordered.
        faces: Finds the faces.
        limits: Counts photos.
    """

    def __init__(self, intake: Intake, styles: StyleCatalogue, faces: FaceFinder, limits: RateLimits) -> None:
        self._intake = intake
        self._styles = styles
        self._faces = faces
        self._limits = limits

    def check_webhook(self, url: str | None) -> None:
        """Refuse an address that could never be called (`nigaoe_api.intake.Intake.check_webhook`)."""
        self._intake.check_webhook(url)

    async def order(self, order: Order, photos: Sequence[bytes], options: ConvertOptions) -> Submission:
        """Order a conversion of each photo with the same options: all of them, or none.

        Raises:
            NigaoeError: A photo or an option cannot be used (its ``photo`` detail says which of several), or the time
                is wrong: queue, quota, rate, storage.
        """
        self._intake.check_webhook(options.webhook_url)
        options, framing = await run_in_threadpool(self._completed, options)
        await self._limits.count_photos(order.caller, len(photos))
        if order.idempotency is None:  # A repeated order is answered however long the queue is.
            await run_in_threadpool(self._intake.refuse_early, len(photos))
        prepared = [await self._prepare(index, photos, options, framing) for index in range(len(photos))]
        return await run_in_threadpool(self._submit, order, prepared, options)

    def _completed(self, options: ConvertOptions) -> tuple[ConvertOptions, Framing]:
        """Fill in what depends on the style, which may be the default one, and tell how photos are cut for it."""
        registry = self._styles.registry()
        style = registry.style(options.style) if options.style is not None else registry.default_style()
        truncation = options.truncation if options.truncation is not None else style.truncation
        completed = options.model_copy(update={"style": style.name, "truncation": truncation})
        return completed, self._styles.framing(style.name)

    async def _prepare(
        self, index: int, photos: Sequence[bytes], options: ConvertOptions, framing: Framing
    ) -> PreparedPhoto:
        try:
            return await self._faces.prepare(photos[index], options.face, framing)
        except NigaoeError as error:
            if len(photos) > 1:
                error.details["photo"] = index
                error.message = f"Photo {index + 1} of {len(photos)}: {error.message}"
            raise

    def _submit(self, order: Order, prepared: Sequence[PreparedPhoto], options: ConvertOptions) -> Submission:
        jobs = [_new_conversion(order.caller, photo, options) for photo in prepared]
        if len(jobs) > 1:
            jobs = in_batch(jobs)
        contents: dict[str, bytes] = {}
        for index, (job, photo) in enumerate(zip(jobs, prepared, strict=True)):
            named = _blobs_of(job, photo)
            jobs[index] = job.model_copy(update={"blobs": {name: f"{job.folder}/{name}" for name in named}})
            contents |= {f"{job.folder}/{name}": content for name, content in named.items()}
        return self._intake.submit(order, jobs, contents)


def _new_conversion(caller: Caller, photo: PreparedPhoto, options: ConvertOptions) -> Job:
    chosen = options.face if options.face in ("largest", "only") else photo.index
    fields = options.model_dump(include=set(JobOptions.model_fields)) | {"face": chosen}
    return new_job(JobOptions.model_validate(fields), tenant=caller.tenant, faces=photo.faces)


def _blobs_of(job: Job, photo: PreparedPhoto) -> dict[str, bytes]:
    """The photo itself is kept, until the job ends, only where the result is pasted back into it."""
    return {CROP: photo.crop} | ({PHOTO: photo.photo} if job.options.paste_back else {})
