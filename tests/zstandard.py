"""The zstd of this Python: its own from 3.14 on, before that a package's."""

import sys

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

__all__ = ["zstd"]
