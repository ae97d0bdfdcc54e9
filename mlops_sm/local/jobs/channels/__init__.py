"""The inputs of a job as it finds them: files that were copied, files that are lent to it, named pipes."""

from mlops_sm.local.jobs.channels.channel import Channel, Mode
from mlops_sm.local.jobs.channels.inputs import Inputs

__all__ = ["Channel", "Inputs", "Mode"]
