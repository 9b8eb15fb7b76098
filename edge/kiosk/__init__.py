"""The office screen: a local web page, served by the device to its own browser and to nobody else."""
