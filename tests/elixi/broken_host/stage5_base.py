"""A host whose base module cannot be imported for a reason of its own."""

import a_module_the_host_lacks  # noqa: F401
