import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from nigaoe_core.errors import InvalidSettings
from nigaoe_core.queue import QUEUE_NAME, TASK_NAME
from nigaoe_core.settings import Settings
from nigaoe_worker.app import build_app, celery_settings


def test_importing_the_application_is_light(repository: Path) -> None:
    """Neither PyTorch nor the web framework nor a setting is needed to look at it."""
    script = "import sys, nigaoe_worker.app; print(sorted({'torch', 'fastapi', 'PIL', 'numpy'} & set(sys.modules)))"
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=repository, env={}, capture_output=True, text=True, check=True, timeout=120
    )
    assert result.stdout.strip() == "[]"


def test_there_is_one_task_with_a_name_of_its_own(settings: Settings) -> None:
    """A message names no module of ours."""
    app = build_app(lambda: Settings(**{**settings.model_dump(), "redis_url": "redis://localhost/0"}))
    ours = [name for name in app.tasks if not name.startswith("celery.")]
    assert ours == [TASK_NAME]
    assert not TASK_NAME.startswith("worker")


def test_a_message_without_a_worker_does_nothing(settings: Settings) -> None:
    """The task in a process that runs no worker does nothing."""
    app = build_app(lambda: Settings(**{**settings.model_dump(), "redis_url": "redis://localhost/0"}))
    assert app.runtime is None
    app.tasks[TASK_NAME].run("some-job", 1)


def test_the_threads_of_the_pool_share_one_backend(settings: Settings) -> None:
    """Finding one means looking through all installed packages, and it stores nothing."""
    app = build_app(lambda: Settings(**{**settings.model_dump(), "redis_url": "redis://localhost/0"}))
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(lambda: app.backend).result() is app.backend


def test_redis_has_to_be_named(settings: Settings) -> None:
    """The message says what to do."""
    with pytest.raises(InvalidSettings, match="NIGAOE_REDIS_URL"):
        celery_settings(settings)


def test_settings_that_were_paid_for_are_kept(settings: Settings) -> None:
    """Each of these lost or doubled jobs when it was otherwise (see the reasons beside them)."""
    chosen = celery_settings(
        Settings(redis_url="unix:///tmp/v.sock?db=2", data_dir=settings.data_dir, job_deadline_seconds=100)
    )
    assert chosen["broker_url"] == "redis+socket:///tmp/v.sock?virtual_host=2"
    assert chosen["visibility_timeout"] == chosen["broker_transport_options"]["visibility_timeout"] == 300
    assert chosen["result_backend_transport_options"] == {"visibility_timeout": 300}
    assert (chosen["worker_pool"], chosen["task_acks_late"]) == ("threads", True)
    assert not chosen["task_reject_on_worker_lost"]
    assert (chosen["worker_prefetch_multiplier"], chosen["worker_disable_prefetch"]) == (1, True)
    assert chosen["broker_connection_retry_on_startup"]
    assert chosen["broker_connection_max_retries"] is None
    assert not chosen["worker_cancel_long_running_tasks_on_connection_loss"]
    assert chosen["accept_content"] == ["json"]
    assert chosen["task_default_queue"] == QUEUE_NAME
    assert chosen["worker_concurrency"] == 10
