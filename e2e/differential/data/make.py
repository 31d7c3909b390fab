"""Wrote events.jsonl, ads.csv: events in the manner of the Yahoo streaming benchmark, from a fixed seed."""
import datetime
import json
import os
import random

HERE = os.path.dirname(os.path.abspath(__file__))
source = random.Random(20)
ads = [(f"ad{number:02}", f"c{number // 4}") for number in range(40)]
with open(os.path.join(HERE, "ads.csv"), "w") as file:
    file.write("ad_id,campaign_id\n" + "".join(f"{ad},{campaign}\n" for ad, campaign in ads))
instant = 1_700_000_000_000
with open(os.path.join(HERE, "events.jsonl"), "w") as file:
    for number in range(600):
        instant += int(source.expovariate(1 / 700))
        at = instant - (source.randrange(8000) if number % 11 == 0 else 0)
        zone = datetime.timezone.utc
        text = datetime.datetime.fromtimestamp(at / 1000, zone).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
        event = {
            "user_id": f"u{source.randrange(50)}", "page_id": f"p{source.randrange(12)}", "ad_id": f"ad{source.randrange(44):02}",
            "ad_type": source.choice(["banner", "modal", "sponsored-search", "mail", "mobile"]),
            "event_type": source.choice(["view", "click", "purchase"]), "event_time": at, "ts": text,
            "cost": round(source.lognormvariate(0, 2), 4),
        }
        if number % 37 == 0:
            del event["cost"]
        file.write(json.dumps(event, separators=(",", ":")) + "\n")
