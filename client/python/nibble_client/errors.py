# Copyright the nibble authors.
# SPDX-License-Identifier: Apache-2.0
"""What can go wrong, besides OSError and TimeoutError of the socket."""

CODES = {3: "INVALID_ARGUMENT", 4: "DEADLINE_EXCEEDED", 5: "NOT_FOUND",
         8: "RESOURCE_EXHAUSTED", 12: "UNIMPLEMENTED", 13: "INTERNAL",
         14: "UNAVAILABLE"}


class RemoteError(Exception):
    """The server refused this request; the connection lives on."""

    def __init__(self, code, message):
        self.code = code
        self.name = CODES.get(code, "code")
        super().__init__("%s (%d): %s" % (self.name, code, message))


class ProtocolError(Exception):
    """The server sent what is no answer to what was asked; the connection has
    been closed, and the next call opens a new one."""
