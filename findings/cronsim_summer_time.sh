#!/usr/bin/env bash
# cronsim 2.8: at a change of summer time the slots depend on the form of the text, and on where counting begins.
#
# Source: cronsim/cronsim.py: `fixup_tz` is set for five fields without stars only, and then counts without a zone;
#   advance_hour() adds 3600 s to a moment whose minutes it has set to 0 before.
# Guess: `0 30 2 * * *` is `30 2 * * *`; what comes after a moment is later than it; and the slots between two moments
#   are the same from wherever they are counted.
# Seen: in Berlin `30 2 * * *` runs once on the days of the change, `0 30 2 * * *` not at all and twice. From 02:10 in the
#   second of two equal hours the next slot is 40 minutes ago. On Lord Howe, whose clocks move by half an hour, `*/20 3`
#   has one slot on that day if counted from the day before, and three if counted from 02:00.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.11}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check cronsim==2.8 tzdata
"$folder/venv/bin/python" - <<'PYTHON'
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from zoneinfo import ZoneInfo

from cronsim import CronSim


def slots(cron, zone, start, end):
    moments = takewhile(lambda slot: slot < end, CronSim(cron, start.astimezone(ZoneInfo(zone))))
    return [f"{slot.astimezone(UTC):%d %H:%M}" for slot in moments]


def day(*given):
    return datetime(*given, tzinfo=UTC)


spring = [slots(cron, "Europe/Berlin", day(2026, 3, 28, 12), day(2026, 3, 29, 12)) for cron in ("30 2 * * *", "0 30 2 * * *")]
autumn = [slots(cron, "Europe/Berlin", day(2026, 10, 24, 12), day(2026, 10, 25, 12)) for cron in ("30 2 * * *", "0 30 2 * * *")]
print("Berlin, 29 March 2026, with five fields and six:  ", *spring)
print("Berlin, 25 October 2026, with five fields and six:", *autumn)
assert spring == [["29 01:00"], []], spring
assert autumn == [["25 00:30"], ["25 00:30", "25 01:30"]], autumn

start = day(2026, 10, 25, 1, 10)
after = next(CronSim("30 2 * * *", start.astimezone(ZoneInfo("Europe/Berlin")))).astimezone(UTC)
print(f"the first slot after {start:%H:%M} UTC is at {after:%H:%M} UTC")
assert after == start - timedelta(minutes=40), after

end = day(2026, 4, 4, 18)
before, later = (slots("*/20 3 * * *", "Australia/Lord_Howe", day(2026, 4, 4, *at), end) for at in ((10,), (15, 30)))
print("Lord Howe, 5 April 2026, from the evening before and from 02:00:", before, later)
assert (len(before), len(later)) == (1, 3), (before, later)
PYTHON
