"""The command line, and a whole system composed in one process tree."""

from nigaoe_core.cpu_runtime import wait_asleep

wait_asleep()
