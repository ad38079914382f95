"""The error that the tools raise for a person to read."""


class DocsError(Exception):
    """Something wrong in the documents; the message says where, and what to do."""
