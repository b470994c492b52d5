"""What happens to jobs while they are waited for: a bar on a terminal, plain lines in a pipe."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from videogen_core import Client, Event
from videogen_core.states import TERMINAL

from .interrupts import under_way
from .screen import Screen
from .words import clock, seconds

if TYPE_CHECKING:
    from rich.progress import Progress, Task as Bar
