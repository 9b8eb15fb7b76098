"""What messages do by themselves while the service runs, and what of them is served."""

from __future__ import annotations

from functools import partial

from cloud.messages.delivery import AT_ONCE, LANES, Delivery, sweep
from cloud.messages.outbox import Messages
from cloud.messages.service import MessageService
from cloud.messages.spool import drop_erased
from cloud.messages.values import Channel
from cloud.messages.ways import Ways
from cloud.serving import Base, Served, served
from cloud.sources import to_us
from cloud.store.messages import Lane
from cloud.upkeep import Job
from verifield.v1 import message_service_pb2, message_service_pb2_grpc

DELIVER_EVERY_S = 0.5
"""A look at one row of an index; a person waits for a code."""

SWEEP_EVERY_S = 600.0
SPOOL_EVERY_S = 60.0
SWEPT_AT_ONCE = 500


def services(base: Base) -> list[Served]:
    """MessageService."""
    return [
        served(
            message_service_pb2,
            message_service_pb2_grpc.add_MessageServiceServicer_to_server,
            MessageService(base),
        )
    ]


def jobs(base: Base, ways: Ways) -> list[Job]:
    """Delivery; and what is no longer needed goes."""
    delivery = Delivery(base.store, Messages.of(base), ways.gateways, base.sources, longest_s=ways.longest_s)

    def sweep_rows() -> int:
        now_us = to_us(base.sources.now())
        return base.store.run(partial(sweep, now_us=now_us, limit=SWEPT_AT_ONCE))

    def sweep_spool() -> int:
        with base.store.reading() as connection:  # of who was erased while a message was on its way here
            erased = drop_erased(connection, ways.spool)
        return erased + ways.spool.sweep(now_us=to_us(base.sources.now()))

    return [
        *(
            Job(_name(lane), partial(delivery.run, lane), every_s=DELIVER_EVERY_S, full=AT_ONCE)
            for lane in LANES
        ),
        Job("messages_sweep", sweep_rows, every_s=SWEEP_EVERY_S, full=SWEPT_AT_ONCE),
        Job("spool_sweep", sweep_spool, every_s=SPOOL_EVERY_S),
    ]


def _name(lane: Lane) -> str:
    kind = "brief" if lane.brief else "lasting"
    return f"messages_{Channel(lane.channel).name.lower()}_{kind}"
