"""One-time codes, the ledger of text messages, messages that wait, telephone numbers."""

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
