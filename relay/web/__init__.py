"""HTTP in and out: the service listener, the admin listener, and the client that calls handlers."""
