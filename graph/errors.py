"""What can go wrong in the graph room.

::

    GraphError
    ├── InvalidGraphValue   a node, relation, position or argument that is not allowed; a ValueError
    ├── UnknownStore        a store address whose scheme nobody serves; a ValueError
    ├── StoreUnavailable    the database cannot be reached, opened or logged in to
    └── StoreFailure        the database answered with an error of its own, or is in a state that needs a person

Drivers' exceptions are translated at the door of each store; the original is kept as ``__cause__``.
"""


class GraphError(Exception):
    """Anything the graph room raises on purpose."""


class InvalidGraphValue(GraphError, ValueError):
    """A value that the vocabulary or a query does not allow; nothing was written."""


class UnknownStore(GraphError, ValueError):
    """A store address that is none of ``sqlite:///path``, ``memory:``, ``bolt://host:port``."""


class StoreUnavailable(GraphError):
    """The database cannot be reached, opened or logged in to; trying again later may help."""


class StoreFailure(GraphError):
    """The database refused or broke an operation; the transaction was rolled back."""
