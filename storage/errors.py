"""What can go wrong with a store. The text is one line: what is wrong, and what to do."""


class StoreError(Exception):
    """The store cannot be opened, read or written; what was committed before is safe."""


class RunMismatch(StoreError):
    """The file is sound, but this command does not fit what is in it."""
