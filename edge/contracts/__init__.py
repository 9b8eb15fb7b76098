"""Contracts that a person signs at this device, also where there is no network."""
