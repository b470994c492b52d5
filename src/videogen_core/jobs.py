"""TEMPORARY SHIM: this module is now ``states.py`` (and ``Job`` is ``JobRecord``). Edit and import states.py instead."""

import sys

from . import states

states.Job = states.JobRecord
sys.modules[__name__] = states
