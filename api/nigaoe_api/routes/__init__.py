"""One file a subject; `nigaoe_api.app` joins them."""
