"""Flower's configuration, for `celery -A tasks flower --conf=deploy/flowerconfig.py`.

Every page and every call of Flower's API asks for the password, but for two: `/healthcheck` and `/metrics` answer
anybody, and the metrics name workers and tasks. So Flower listens on loopback; to show it elsewhere, put a proxy with
its own login before it. The password stands here and not on the command line, where every user of the host sees it.
"""

import sys

from geniequeue.config import load_settings
from geniequeue.errors import SettingsError

try:
    _settings = load_settings()
except SettingsError as error:
    sys.exit("\n".join(f"flower: {fault}" for fault in error.faults))
if not _settings.flower_password:
    sys.exit("flower: FLOWER_PASSWORD is not set; set one, or run `geniequeue up`, which generates it")

address = "127.0.0.1"
port = _settings.flower_port
basic_auth = [f"{_settings.flower_user}:{_settings.flower_password}"]
# Off even where the environment says otherwise: no cookie login, no OAuth, nothing kept on disk.
auth = ""
persistent = False
