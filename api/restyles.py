"""Ordering restyles: another look of a face whose latent was found before, without finding it again."""

from typing import Final

from starlette.concurrency import run_in_threadpool

from api.intake import Intake, Order
from api.request_schemas import RestyleRequest
from api.style_catalogue import StyleCatalogue
from core.blob_store import CROP, LATENT, job_of
from core.errors import NoResult, NoSuchResult, ParentMismatch
from core.job_store import Submission
from core.jobs import Job, JobKind, JobOptions, JobState, new_job
from core.services import Services

URGENT: Final = 9
"""A restyle takes a fraction of a second, and somebody looks at the screen."""


class Restyles:
    """Orders restyles.

    Args:
        intake: Stores the jobs.
        services: Where the parents are.
        styles: What may be ordered.
    """

    def __init__(self, intake: Intake, services: Services, styles: StyleCatalogue) -> None:
        self._intake = intake
        self._services = services
        self._styles = styles

    async def order(self, order: Order, parent_id: str, changes: RestyleRequest) -> Submission:
        """Order another look.

        Raises:
            UnknownJob: The caller has no such job.
            NoResult: It has not succeeded.
            NoSuchResult: Its latent is gone.
            UnknownStyle: There is no such style.
            ParentMismatch: The style draws other latents.
            NigaoeError: The time is wrong: queue, quota, storage.
        """
        self._intake.check_webhook(changes.webhook_url)
        return await run_in_threadpool(self._order, order, parent_id, changes)

    def _order(self, order: Order, parent_id: str, changes: RestyleRequest) -> Submission:
        tenant = order.caller.tenant
        parent = self._services.store.get(parent_id, tenant=tenant)
        latent = self._latent_of(parent)
        options = _changed(parent.options, changes)
        self._check_style(parent.options.style, options.style)
        job = new_job(options, tenant=tenant, kind=JobKind.RESTYLE, parent_id=job_of(latent), faces=parent.faces)
        # The blobs stay where they are: erasing the parent erases the face, whatever was drawn of it.
        shared = {name: key for name, key in parent.blobs.items() if name in (LATENT, CROP)}
        return self._intake.submit(order, [job.model_copy(update={"blobs": shared})], {})

    def _latent_of(self, parent: Job) -> str:
        if parent.state is not JobState.SUCCEEDED:
            raise NoResult(
                f"The job is {parent.state}; only a job that has succeeded can be restyled.", state=parent.state.value
            )
        latent = parent.blobs.get(LATENT)
        if latent is None or not self._services.blobs.exists(latent):
            raise NoSuchResult("The latent of this job is gone; convert the photo again.")
        return latent

    def _check_style(self, old: str, new: str) -> None:
        registry = self._styles.registry()
        if old != new and registry.style(new).parent != registry.style(old).parent:
            raise ParentMismatch(f"The style `{new}` draws other latents; convert the photo again with it.")


def _changed(options: JobOptions, changes: RestyleRequest) -> JobOptions:
    asked = changes.model_dump(exclude_none=True)
    unchanged = options.model_dump(exclude={"webhook_url", "priority", "paste_back"})
    return JobOptions.model_validate({**unchanged, "priority": URGENT, **asked})
