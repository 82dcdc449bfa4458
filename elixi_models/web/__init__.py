"""The HTTP face: a Flask blueprint, an extension, and a mount beside an http.server handler."""
