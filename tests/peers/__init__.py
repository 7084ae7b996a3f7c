"""Real mail servers as private instances on loopback ports, for tests and benchmarks.

Each lives in its own temporary directory, needs root (mail servers change user) and the Debian packages that
`scripts/install-peers` installs. `PeerMissing` says what is lacking; tests turn it into a visible skip.
"""

from peers.process import PeerMissing, free_port

__all__ = ["PeerMissing", "free_port"]
