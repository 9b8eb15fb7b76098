"""Who may call which method: read from the contract's ``access`` options. What says nothing is closed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import MethodDescriptor

from cloud.access.roles import Permission
from verifield.v1 import access_pb2


@dataclass(frozen=True, slots=True)
class Rule:
    """Exactly one of the four is set."""

    permission: Permission | None = None
    open: bool = False
    device: bool = False
    account: bool = False


REFLECTION = frozenset({"grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"})
"""What tools read the contract from: one call asks any number of questions."""

# Services of gRPC itself, whose contracts cannot carry our option. They tell what this repository tells,
# but for channelz, which shows who is connected.
FOREIGN_RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "grpc.health.v1.Health": Rule(open=True),
        **dict.fromkeys(REFLECTION, Rule(open=True)),
        "grpc.channelz.v1.Channelz": Rule(permission=Permission.SERVICE_READ),
    }
)


class Rules:
    """The rules of the methods that are served, by /SERVICE/METHOD."""

    def __init__(self, by_method: Mapping[str, Rule]) -> None:
        self._by_method = dict(by_method)

    @classmethod
    def of(cls, services: Iterable[str]) -> Rules:
        """Of these services of ours (full names).

        Raises:
            KeyError: there is no such service in the contract.
        """
        pool = descriptor_pool.Default()
        found = {}
        for name in services:
            for method in pool.FindServiceByName(name).methods:
                rule = rule_of(method)
                if rule is not None:
                    found[f"/{name}/{method.name}"] = rule
        return cls(found)

    def is_for_devices(self, service: str) -> bool:
        """Whether devices alone may call the methods of a service (full name)."""
        rules = [rule for method, rule in self._by_method.items() if method.startswith(f"/{service}/")]
        return bool(rules) and all(rule.device for rule in rules)

    def find(self, method: str) -> Rule | None:
        """The rule of /SERVICE/METHOD; None where it is closed."""
        rule = self._by_method.get(method)
        return rule or FOREIGN_RULES.get(method.strip("/").partition("/")[0])


def rule_of(method: MethodDescriptor) -> Rule | None:
    """What the contract says of a method; None for nothing, and for a permission that no table knows."""
    rule = method.GetOptions().Extensions[access_pb2.access]
    match rule.WhichOneof("rule"):
        case "permission":
            try:
                return Rule(permission=Permission(rule.permission))
            except ValueError:
                return None
        case "open" if rule.open:
            return Rule(open=True)
        case "device" if rule.device:
            return Rule(device=True)
        case "account" if rule.account:
            return Rule(account=True)
        case _:
            return None
