"""Conversions: photos and options become jobs with a crop each, several photos of one request a batch.

A batch is stored nowhere. Its id is a random UUID and the number of its jobs; the jobs' ids follow from it by SHA-256.
So who may read the jobs can read the batch, a job's id does not reveal its batch or its siblings, and there is no
second truth to keep in step with the jobs.
"""

import hashlib
import re
import uuid
from collections.abc import Sequence
from typing import Final

from starlette.concurrency import run_in_threadpool

from nigaoe_api.callers import Caller
from nigaoe_api.face_finder import FaceFinder, PreparedPhoto
from nigaoe_api.job_submission import JobSubmission
from nigaoe_api.rate_limits import RateLimits
from nigaoe_api.request_schemas import ConvertOptions
from nigaoe_api.style_catalogue import Framing, StyleCatalogue
from nigaoe_core.errors import FaceError, ImageError, NigaoeError, UnknownJob
from nigaoe_core.jobs import Job, JobOptions, Preset, new_job
from nigaoe_core.store.blob_store import CROP, PHOTO, REFERENCE, new_folder
from nigaoe_core.store.job_records import Idempotency, Submission
from nigaoe_core.style_methods import REFERENCE as REFERENCE_FIELD

MAX_BATCH: Final = 1000

_BATCH_ID = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})-([1-9][0-9]{0,3})")


class Conversions:
    """Makes and submits conversions.

    Args:
        submission: Stores the jobs.
        styles: The installed ones.
        faces: Finds the faces.
        limits: Counts photos.
    """

    def __init__(
        self, submission: JobSubmission, styles: StyleCatalogue, faces: FaceFinder, limits: RateLimits
    ) -> None:
        self._submission = submission
        self._styles = styles
        self._faces = faces
        self._limits = limits

    async def submit(
        self,
        caller: Caller,
        photos: Sequence[bytes],
        options: ConvertOptions,
        idempotency: Idempotency | None,
        reference: bytes | None = None,
    ) -> Submission:
        """Submit a conversion of each photo with the same options: all of them, or none.

        Args:
            caller: Whose they are.
            photos: The files.
            options: Of all of them.
            idempotency: How the request is recognised when it comes again.
            reference: File of the anime picture whose style or texture is taken over.

        Raises:
            NigaoeError: A photo or an option cannot be used (its ``photo`` detail says which of several), or the time
                is wrong: queue, quota, rate, storage.
        """
        self._submission.check_webhook(options.webhook_url)
        options, framing = await run_in_threadpool(self._completed, options, reference)
        await self._limits.count_photos(caller, len(photos))
        if idempotency is None:  # A repeated request is answered however long the queue is.
            await run_in_threadpool(self._submission.check_queue, len(photos))
        # First, because it goes with all photos: a bad one is refused before any face is looked for.
        framed = await self._prepare_reference(reference, framing) if reference is not None else None
        prepared = [await self._prepare(index, photos, options, framing) for index in range(len(photos))]
        return await run_in_threadpool(self._submit, caller, prepared, options, idempotency, framed)

    def _completed(self, options: ConvertOptions, reference: bytes | None) -> tuple[ConvertOptions, Framing]:
        """Fill in what depends on the style, which may be the default one, and tell how photos are cut for it.

        Raises:
            UnknownStyle: There is no such style.
            OptionNotTaken: The style has no use for an option.
            ReferenceNeeded: It draws nothing without a reference.
        """
        registry = self._styles.registry()
        style = registry.style(options.style) if options.style is not None else registry.default_style()
        style.check_options({**options.model_dump(exclude_unset=True), REFERENCE_FIELD: reference})
        if options.preset is Preset.INSTANT:
            registry.check_encoder(style.name)
        truncation = options.truncation if options.truncation is not None else style.truncation
        completed = options.model_copy(update={"style": style.name, "truncation": truncation})
        return completed, self._styles.framing(style.name)

    async def _prepare_reference(self, reference: bytes, framing: Framing) -> bytes:
        try:
            return await self._faces.prepare_reference(reference, framing)
        except (ImageError, FaceError) as error:
            error.details["field"] = REFERENCE_FIELD
            if isinstance(error, ImageError):
                error.message = f"The reference: {error.message}"
            raise

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

    def _submit(
        self,
        caller: Caller,
        prepared: Sequence[PreparedPhoto],
        options: ConvertOptions,
        idempotency: Idempotency | None,
        reference: bytes | None,
    ) -> Submission:
        jobs = [_new_conversion(caller, photo, options) for photo in prepared]
        if len(jobs) > 1:
            jobs = in_batch(jobs)
        contents: dict[str, bytes] = {}
        for index, (job, photo) in enumerate(zip(jobs, prepared, strict=True)):
            named = _blobs_of(job, photo) | ({REFERENCE: reference} if reference is not None else {})
            jobs[index] = job.model_copy(update={"blobs": {name: f"{job.folder}/{name}" for name in named}})
            contents |= {f"{job.folder}/{name}": content for name, content in named.items()}
        return self._submission.submit(caller, jobs, contents, idempotency=idempotency)


def new_batch_id(count: int) -> str:
    """Make the id of a batch of ``count`` jobs."""
    return f"{uuid.uuid4()}-{count}"


def job_ids(batch_id: str) -> list[str]:
    """The ids of a batch's jobs, in the order of the photos; each is a version 4 UUID by its form.

    Raises:
        UnknownJob: This is no id of a batch.
    """
    match = _BATCH_ID.fullmatch(batch_id)
    if match is None or int(match[2]) > MAX_BATCH:
        raise UnknownJob("There is no such batch.")
    return [_derived(batch_id, index) for index in range(int(match[2]))]


def in_batch(jobs: list[Job]) -> list[Job]:
    """Make jobs that are not stored yet one batch: they get its id and the ids that follow from it."""
    batch_id = new_batch_id(len(jobs))
    return [
        job.model_copy(update={"id": job_id, "folder": new_folder(job.tenant, job_id), "batch_id": batch_id})
        for job, job_id in zip(jobs, job_ids(batch_id), strict=True)
    ]


def _derived(batch_id: str, index: int) -> str:
    digest = hashlib.sha256(f"nigaoe batch {batch_id} {index}".encode()).digest()
    return str(uuid.UUID(bytes=digest[:16], version=4))


def _new_conversion(caller: Caller, photo: PreparedPhoto, options: ConvertOptions) -> Job:
    chosen = options.face if options.face in ("largest", "only") else photo.index
    fields = options.model_dump(include=set(JobOptions.model_fields)) | {"face": chosen}
    return new_job(JobOptions.model_validate(fields), tenant=caller.tenant, faces=photo.faces)


def _blobs_of(job: Job, photo: PreparedPhoto) -> dict[str, bytes]:
    """The photo itself is kept, until the job ends, only where the result is pasted back into it."""
    return {CROP: photo.crop} | ({PHOTO: photo.photo} if job.options.paste_back else {})
