"""The one error that the tools raise for a person to read."""


class DocsError(Exception):
    """Something in the documents that cannot be; the message says where and what to do."""
