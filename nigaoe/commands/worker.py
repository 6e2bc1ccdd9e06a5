"""`nigaoe worker`: one worker, for one device."""

from typing import Final

from nigaoe.extras import require

CELERY_ARGUMENTS: Final = (
    "--app=nigaoe_worker.app",
    "--quiet",  # No banner; our log says what is worth saying.
    "worker",
    "--pool=threads",
    # Gossip, mingling and events talk to other workers through Redis, one more thing to break when it comes back.
    "--without-gossip",
    "--without-mingle",
    "--without-heartbeat",
)


def worker() -> None:
    """Run a worker for the Redis in NIGAOE_REDIS_URL, until SIGTERM.

    It is `celery -A nigaoe_worker.app worker -P threads`.
    """
    require("worker")
    from celery.bin.celery import celery

    from nigaoe_core.settings import load_settings
    from nigaoe_worker.app import celery_settings

    celery_settings(load_settings())  # Raises what is wrong with the settings before Celery wraps it in a traceback.
    celery.main(args=list(CELERY_ARGUMENTS), prog_name="celery")  # Ends the process with the worker's exit status.
