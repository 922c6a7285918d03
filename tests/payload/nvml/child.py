"""Watches the cards of the NVML that it finds for a moment, and prints what a document would say.

child.py SECONDS IMAGES
"""

import json
import sys
import time

from payload.telemetry import report
from payload.telemetry.nvml import Cards
from payload.telemetry.watch import Watch

cards = Cards.open()
watch = Watch(cards, interval=0.01, patience=1.0)
with watch.running():
    time.sleep(float(sys.argv[1]))
if not watch.stuck:
    cards.close()
sys.stdout.write(json.dumps(report.describe(watch, int(sys.argv[2]))))
