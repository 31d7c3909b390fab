--- What sinks get, from Spark's structured streaming and from Braid.
-- rows stream=append
SELECT user_id, ad_type, event_time FROM events WHERE event_type = 'purchase'
-- exploded stream=append
SELECT id, explode(a) AS v FROM types
-- joined stream=append
SELECT e.user_id, a.campaign_id FROM events e JOIN ads a ON e.ad_id = a.ad_id WHERE e.event_type = 'click'
-- windows stream=append watermark=events.ts/10s
SELECT window.start AS s, window.end AS e, count(*) AS n FROM events GROUP BY window(ts, '30 seconds')
-- sliding_windows stream=append watermark=events.ts/10s
SELECT window.start AS s, ad_type, count(*) AS n, max(event_time) AS m FROM events GROUP BY window(ts, '1 minute', '30 seconds'), ad_type
