"""Object identifiers in certificates of signers and of time-stamping authorities."""

DOCUMENT_SIGNING = "1.3.6.1.5.5.7.3.36"
"""Extended key usage id-kp-documentSigning (RFC 9336): the key signs documents for people to read."""

TIME_STAMPING = "1.3.6.1.5.5.7.3.8"
"""Extended key usage id-kp-timeStamping (RFC 3161): alone, and critical."""

ORGANISATION_ID = "2.5.4.97"
"""organizationIdentifier (X.520), in the form of ETSI EN 319 412-1: NTRCN- and the code of 18 characters."""

NAME = "2.5.4.41"
"""name (X.520): the whole name, where it is longer than a common name may be."""

STAMP_POLICY = "1.2.840.113556.1.8000.2554.64190.63597.13133.18741.43416.13610022.9587422"
"""Policy of the embedded time-stamping authority: a random UUID in the arc that Microsoft keeps for them."""
