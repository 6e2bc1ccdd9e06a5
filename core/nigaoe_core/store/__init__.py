"""Stores: jobs and their rules, events, blobs, signed links, retention."""
