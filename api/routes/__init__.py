"""One file a subject; `api.app` joins them."""
