"""The ground floor: settings, errors, job records, stores, the queue's message. No torch, no web framework."""
