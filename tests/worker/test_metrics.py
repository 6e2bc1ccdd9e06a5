from typing import Any

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from nigaoe_core.jobs import JobReport, Outcome
from nigaoe_core.services import Services
from nigaoe_core.store.job_store import JobStore
from nigaoe_core.store.lifecycle import JobPolicy
from nigaoe_core.store.redis_link import RedisLink
from nigaoe_worker.metrics import Metrics, RecentMean


def figures(metrics: Metrics) -> dict[str, float]:
    families = text_string_to_metric_families(generate_latest(metrics.registry).decode())
    samples = [sample for family in families for sample in family.samples]
    return {",".join([sample.name, *sample.labels.values()]): sample.value for sample in samples}


def test_an_ended_job_is_counted_in_every_way(metrics: Metrics, services: Services, client: Any) -> None:
    """State, duration, latency, stages, steps and why the search stopped."""
    report = JobReport(steps=42, stop_reason="plateau")
    claim = client.claim(client.convert())
    ended = services.store.succeed(claim, Outcome(blobs={}, report=report, timings={"inverting": 1.5}))
    metrics.observe_end(ended, 2.0)
    seen = figures(metrics)
    assert seen["nigaoe_jobs_ended_total,convert,succeeded"] == 1
    assert seen["nigaoe_searches_ended_total,plateau"] == 1
    assert seen["nigaoe_job_steps_sum"] == 42
    assert seen["nigaoe_stage_seconds_sum,inverting"] == 1.5
    assert seen["nigaoe_job_seconds_sum,convert"] == 2.0
    assert seen["nigaoe_latency_seconds_count,convert"] == 1
    assert (metrics.job_seconds.value, metrics.overhead_seconds.value) == (2.0, 0.5)


def test_the_queue_is_shown_as_it_is(metrics: Metrics, client: Any) -> None:
    """Jobs by state, length and age, slots."""
    client.convert()
    client.claim(client.convert())
    metrics.observe_slots(1, 3)
    metrics.observe_step(0.25, 1)
    seen = figures(metrics)
    assert (seen["nigaoe_jobs_queued"], seen["nigaoe_jobs_running"], seen["nigaoe_jobs_stored,queued"]) == (1, 1, 1)
    assert seen["nigaoe_queue_oldest_age_seconds"] >= 0
    assert (seen["nigaoe_worker_slots"], seen["nigaoe_worker_slots_occupied"]) == (2, 1)
    assert seen["nigaoe_worker_orders_waiting"] == 3
    assert seen["nigaoe_step_seconds_count"] == 1


def test_steps_are_counted_by_how_full_they_are(metrics: Metrics) -> None:
    """A device whose steps are shared by few faces while orders wait would be a fault."""
    for occupied in (1, 2, 2):
        metrics.observe_step(0.25, occupied)
    seen = figures(metrics)
    assert (seen["nigaoe_steps_total,1"], seen["nigaoe_steps_total,2"]) == (1, 2)


def test_the_page_works_without_redis() -> None:
    """The queue's figures are missing then, the worker's own are there."""
    link = RedisLink("unix:///nowhere/valkey.sock", patience_seconds=0)
    seen = figures(Metrics(JobStore(link, JobPolicy()), slots=2, device="cpu"))
    assert seen["nigaoe_job_store_up"] == 0
    assert "nigaoe_jobs_queued" not in seen
    assert seen["nigaoe_worker_slots"] == 2


def test_a_recent_mean_follows_slowly() -> None:
    """Few values count alike, so that a slow first one does not rule; many fade."""
    mean = RecentMean(0.25)
    assert mean.value is None
    for value, expected in ((8.0, 8.0), (2.0, 5.0), (2.0, 4.0), (0.0, 3.0), (3.0, 3.0), (7.0, 4.0)):
        mean.add(value)
        assert mean.value == pytest.approx(expected)
    mean.forget()
    mean.add(1.0)
    assert mean.value == 1.0
