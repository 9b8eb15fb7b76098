"""Names in the data directory, shared by the service and the operator's commands."""

ROOT_FILE = "root.pem"
ENDPOINT_FILE = "endpoint.json"
LAST_BACKUP_FILE = "last-backup"  # when the newest whole backup was taken: microseconds since 1970
MEDIA_FOLDER = "media"
OBJECTS_FOLDER = "objects"
TOKEN_FILE = "operator.token"  # noqa: S105 (a file name)
