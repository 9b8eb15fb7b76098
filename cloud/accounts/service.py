"""AccountService: its parts as one."""

from __future__ import annotations

from cloud.accounts.activation import Activations
from cloud.accounts.base import Desks
from cloud.accounts.holder import Holder
from cloud.accounts.password_changes import PasswordChanges
from cloud.accounts.registration import Registration
from cloud.accounts.sign_in import Finder, SigningIn
from cloud.accounts.staff import Staff
from verifield.v1.account_service_pb2_grpc import AccountServiceServicer


class AccountService(
    Registration, SigningIn, PasswordChanges, Activations, Holder, Staff, AccountServiceServicer
):
    """Every method of the contract is that of one part."""

    def __init__(self, desks: Desks) -> None:
        finder = Finder(desks)
        signing_in, activations = SigningIn(desks, finder), Activations(desks, finder)
        Registration.__init__(self, desks, finder, activations)
        PasswordChanges.__init__(self, desks, finder, signing_in)
