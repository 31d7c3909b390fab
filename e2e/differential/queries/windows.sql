--- Windows over event time.
-- tumbling
SELECT window.start AS s, window.end AS e, count(*) AS n FROM events GROUP BY window(ts, '1 minute')
-- tumbling_key
SELECT window(ts, '30 seconds') AS w, ad_type, count(*) AS n FROM events GROUP BY window(ts, '30 seconds'), ad_type
-- sliding
SELECT window.start AS s, count(*) AS n FROM events GROUP BY window(ts, '1 minute', '20 seconds')
-- sliding_sum
SELECT window.start AS s, event_type, sum(event_time % 100) AS n FROM events GROUP BY window(ts, '2 minutes', '1 minute'), event_type
-- start_time
SELECT window.start AS s, count(*) AS n FROM events GROUP BY window(ts, '1 minute', '1 minute', '15 seconds')
-- window_having
SELECT window.start AS s, count(*) AS n FROM events GROUP BY window(ts, '1 minute') HAVING count(*) > 80
-- window_join
SELECT window.start AS s, a.campaign_id AS c, count(*) AS n FROM events e JOIN ads a ON e.ad_id = a.ad_id GROUP BY window(ts, '1 minute'), a.campaign_id
-- window_filter
SELECT window.start AS s, count(*) FILTER (WHERE event_type = 'view') AS v, count(DISTINCT user_id) AS u FROM events GROUP BY window(ts, '1 minute')
-- window_negative
SELECT window.start AS s, count(*) AS n FROM types GROUP BY window(ts, '1 day')
-- window_days
SELECT window.start AS s, count(*) AS n FROM types GROUP BY window(ts, '7 days', '1 day')
-- window_time
SELECT window_time(w) AS t, n FROM (SELECT window(ts, '1 minute') AS w, 1 AS n FROM events)
-- window_avg
SELECT window.start AS s, avg(event_time) AS a, max(cost) AS b, min(user_id) AS c FROM events GROUP BY window(ts, '1 minute')
-- order_windows
SELECT window.start AS s, count(*) AS n FROM events GROUP BY window(ts, '1 minute') ORDER BY n DESC, s LIMIT 3
