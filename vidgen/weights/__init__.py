"""Weights on disk: where a model's files are, whether they are all there, and the lock that says what they must be.

Cheap, and imports nothing heavy; ``fetch`` brings them, ``verify`` reads and hashes them, ``hub`` is the network.

    weights/svd-xt/…            the files, in the repository's own layout
    weights/svd-xt/.part/       what a download has not finished
    weights/svd-xt.lock.json    the commit they came from, and each file's size and SHA-256
"""

from vidgen.weights.errors import WeightsError
from vidgen.weights.lock import Lock, LockedFile, command, folder, lock_file, problem, read_lock, write_lock

__all__ = [
    "Lock", "LockedFile", "WeightsError", "command", "folder", "lock_file", "problem", "read_lock", "write_lock",
]
