"""The program `poort`. In a wheel this package holds all of the server, in `server/`; in a checkout the server is beside it.

The server's modules have top-level names, such as `config`. They come first on the path, so no other module can take their place.
"""

import gc
import sys
from pathlib import Path

_HERE = Path(__file__).resolve().parent
_SERVER = str(_HERE / "server" if (_HERE / "server").is_dir() else _HERE.parent)

# Imports leave no garbage, and looking for it would take a sixth of the start time. poort/__main__.py switches it on again.
gc.disable()

if sys.path[0] != _SERVER:
    sys.path.insert(0, _SERVER)
