"""The Celery door: claims jobs and drives the slot engine on the device."""

from nigaoe_core.cpu_runtime import wait_asleep

wait_asleep()
