"""The random bytes that all challenges of one session derive from, each under a name of its own."""

NONCE_BYTES = 16
