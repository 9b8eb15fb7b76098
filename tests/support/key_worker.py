"""A process that uses a device's keys, for tests with several processes and for kills.

    python -m tests.support.key_worker sign CONFIG FOLDER NAME COUNT     a signature in hex on each line
    python -m tests.support.key_worker create CONFIG FOLDER NAME COUNT   makes NAME-0, NAME-1 ...; says which

CONFIG is the configuration as JSON.
"""

from __future__ import annotations

import sys
from pathlib import Path

from edge.attest.keystore import open_key_store
from edge.config import EdgeConfig


def main() -> None:
    action, config, folder, name, count = sys.argv[1:]
    store = open_key_store(EdgeConfig.model_validate_json(config), Path(folder))
    signer = store.open(name) if action == "sign" else None
    print("ready", flush=True)
    for number in range(int(count)):
        if signer is not None:
            print(signer.sign(b"message").hex(), flush=True)
        else:
            store.create(f"{name}-{number}")
            print(f"{name}-{number}", flush=True)


if __name__ == "__main__":
    main()
