"""What surrounds every request, one concern a file, as plain ASGI: nothing here touches a body except to count it."""
