"""How the running service is watched: figures, traces, health, status."""

from cloud.operations.status import STATUS_SERVICE, Vitals, add_status_service
from cloud.operations.telemetry import Telemetry, scraped, telling
from cloud.operations.vitals import find_vitals

__all__ = ["STATUS_SERVICE", "Telemetry", "Vitals", "add_status_service", "find_vitals", "scraped", "telling"]
