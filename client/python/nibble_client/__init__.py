# Copyright the nibble authors.
# SPDX-License-Identifier: Apache-2.0
"""Ask a nibble server for embedding rows and pooled bags, from Python.

    import nibble_client
    with nibble_client.Client("127.0.0.1:7700") as client:
        rows = client.lookup("item", [1, 2, 3])            # float32 [3, dim]
        sums = client.pool("item", [[1, 2, 3], [], [4]])   # float32 [3, dim]
"""

from .client import Client
from .errors import ProtocolError, RemoteError
from .features import Block, LookupFeature, PoolFeature, Reply, word_ids

__all__ = ["Block", "Client", "LookupFeature", "PoolFeature", "ProtocolError",
           "RemoteError", "Reply", "word_ids"]

__version__ = "0.1.0"
