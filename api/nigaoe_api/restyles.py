"""Restyles: another look of a face whose latent was found before, without finding it again.

One look of one face is one drawing: asking for it again, or twice at once, gives the job that is there.
"""

import json
from typing import Any, Final

from starlette.concurrency import run_in_threadpool

from nigaoe_api.callers import Caller
from nigaoe_api.job_submission import JobSubmission
from nigaoe_api.request_schemas import RestyleRequest
from nigaoe_api.style_catalogue import StyleCatalogue
from nigaoe_core.errors import NoLatent, NoResult, NoSuchResult, ParentMismatch, UnknownJob
from nigaoe_core.jobs import Job, JobKind, JobOptions, JobState, Method, new_job
from nigaoe_core.services import Services
from nigaoe_core.store.blob_store import CROP, LATENT, job_of
from nigaoe_core.store.job_records import Idempotency, Submission
from nigaoe_core.style_methods import REVERSE_GENERATION

URGENT: Final = 9
"""A restyle takes a fraction of a second, and somebody looks at the screen."""


class Restyles:
    """Makes and submits restyles.

    Args:
        submission: Stores the jobs.
        services: Where the parents are.
        styles: The installed ones.
    """

    def __init__(self, submission: JobSubmission, services: Services, styles: StyleCatalogue) -> None:
        self._submission = submission
        self._services = services
        self._styles = styles

    async def submit(
        self, caller: Caller, parent_id: str, changes: RestyleRequest, idempotency: Idempotency | None
    ) -> Submission:
        """Submit another look; one that is there, or under way, is returned as it is (``replayed``).

        Raises:
            UnknownJob: The caller has no such job.
            NoResult: It has not succeeded.
            NoLatent: Its style, or the one that is asked for, draws in one pass.
            NoSuchResult: Its latent is gone.
            UnknownStyle: There is no such style.
            ParentMismatch: The style draws other latents.
            NigaoeError: The time is wrong: queue, quota, storage.
        """
        self._submission.check_webhook(changes.webhook_url)
        return await run_in_threadpool(self._submit, caller, parent_id, changes, idempotency)

    def _submit(
        self, caller: Caller, parent_id: str, changes: RestyleRequest, idempotency: Idempotency | None
    ) -> Submission:
        tenant = caller.tenant
        parent = self._services.store.get(parent_id, tenant=tenant)
        latent = self._latent_of(parent)
        options = self._changed(parent.options, changes)
        root_id = job_of(latent)
        if idempotency is None and (root := self._root_of_look(root_id, tenant, options)) is not None:
            return Submission((root,), replayed=True)
        job = new_job(options, tenant=tenant, kind=JobKind.RESTYLE, parent_id=root_id, faces=parent.faces)
        # The blobs stay where they are: erasing the parent erases the face, whatever was drawn of it.
        shared = {name: key for name, key in parent.blobs.items() if name in (LATENT, CROP)}
        return self._submission.submit(
            caller,
            [job.model_copy(update={"blobs": shared})],
            {},
            idempotency=idempotency,
            deduplication_key=_name_of(root_id, options),
        )

    def _root_of_look(self, root_id: str, tenant: str, options: JobOptions) -> Job | None:
        """The conversion itself, if it was drawn like this. The method `best` has chosen a look by itself."""
        try:
            root = self._services.store.get(root_id, tenant=tenant)
        except UnknownJob:
            return None
        is_same = _look_of(root.options) == _look_of(options) and root.options.method is not Method.BEST
        return root if is_same and options.webhook_url is None else None

    def _latent_of(self, parent: Job) -> str:
        if parent.state is not JobState.SUCCEEDED:
            raise NoResult(
                f"The job is {parent.state}; only a job that has succeeded can be restyled.", state=parent.state.value
            )
        if parent.report is not None and parent.report.method not in (None, REVERSE_GENERATION):
            raise NoLatent(
                f"The style `{parent.options.style}` draws in one pass and keeps no latent: send the photo again."
            )
        latent = parent.blobs.get(LATENT)
        if latent is None or not self._services.blobs.exists(latent):
            raise NoSuchResult("The latent of this job is gone; convert the photo again.")
        return latent

    def _changed(self, options: JobOptions, changes: RestyleRequest) -> JobOptions:
        """Return the options of the new look.

        A truncation that was its style's own does not go along to another style, which has one of its own.
        """
        asked = changes.model_dump(exclude_none=True)
        if changes.style not in (None, options.style):
            registry = self._styles.registry()
            old, new = registry.style(options.style), registry.style(changes.style)
            if new.is_feed_forward:
                raise NoLatent(f"The style `{new.name}` draws photos, not latents: send the photo again with it.")
            if new.parent != old.parent:
                raise ParentMismatch(f"The style `{new.name}` draws other latents; convert the photo again with it.")
            if options.truncation == old.truncation:
                asked = {"truncation": new.truncation} | asked
        unchanged = options.model_dump(exclude={"webhook_url", "priority", "paste_back"})
        return JobOptions.model_validate({**unchanged, "priority": URGENT, **asked})


def _look_of(options: JobOptions) -> dict[str, Any]:
    return options.model_dump(mode="json", include={"style", "degree", "truncation", "colours", "seed"})


def _name_of(root_id: str, options: JobOptions) -> str:
    """What is made. Somebody else's call is part of it: who is there already would never make it."""
    return json.dumps(["restyle", root_id, _look_of(options), options.webhook_url], sort_keys=True)
