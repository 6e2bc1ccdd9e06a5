"""The Celery door: claims jobs and drives the slot engine on the device."""
