--- Dates and instants.
-- parts
SELECT id, year(day) AS a, month(day) AS b, day(day) AS c, dayofmonth(day) AS d, quarter(day) AS e FROM types
-- parts_of_week
SELECT id, dayofweek(day) AS a, weekday(day) AS b, dayofyear(day) AS c, weekofyear(day) AS d FROM types
-- time_parts
SELECT id, hour(ts) AS a, minute(ts) AS b, second(ts) AS c, year(ts) AS d FROM types
-- extract
SELECT id, extract(YEAR FROM ts) AS a, extract(MONTH FROM ts) AS b, extract(DAY FROM day) AS c, extract(HOUR FROM ts) AS d, extract(SECOND FROM ts) AS e, extract(WEEK FROM day) AS f FROM types
-- date_part
SELECT id, date_part('quarter', ts) AS a, date_part('DOW', day) AS b, date_part('doy', day) AS c, datepart('minute', ts) AS d, date_part('yearofweek', day) AS e FROM types
-- add_sub
SELECT id, date_add(day, 1) AS a, date_sub(day, 1) AS b, day + 7 AS c, day - 7 AS d, dateadd(day, 30) AS e FROM types WHERE id <> 4 AND id <> 5
-- datediff
SELECT id, datediff(day, DATE'2024-01-01') AS a, date_diff(day, DATE'1970-01-01') AS b FROM types
-- add_months
SELECT id, add_months(day, 1) AS a, add_months(day, -12) AS b FROM types WHERE id <> 4 AND id <> 5
-- months_between
SELECT id, months_between(ts, TIMESTAMP'2024-01-31 00:00:00') AS a, months_between(day, DATE'2020-02-29') AS b, months_between(ts, day, false) AS c FROM types
-- last_next
SELECT id, last_day(day) AS a, next_day(day, 'MO') AS b, next_day(day, 'friday') AS c FROM types WHERE id <> 4
-- trunc
SELECT id, trunc(day, 'YEAR') AS a, trunc(day, 'MM') AS b, trunc(day, 'WEEK') AS c, trunc(day, 'QUARTER') AS d FROM types
-- date_trunc
SELECT id, date_trunc('HOUR', ts) AS a, date_trunc('day', ts) AS b, date_trunc('WEEK', ts) AS c, date_trunc('MONTH', ts) AS d, date_trunc('MINUTE', ts) AS e FROM types
-- date_trunc_more
SELECT id, date_trunc('YEAR', ts) AS a, date_trunc('QUARTER', ts) AS b, date_trunc('SECOND', ts) AS c, date_trunc('MILLISECOND', ts) AS d, date_trunc('MONTH', day) AS e FROM types WHERE id <> 5
-- date_format
SELECT id, date_format(ts, 'yyyy-MM-dd HH:mm:ss') AS a, date_format(day, 'dd/MM/yy') AS b, date_format(ts, 'yyyyMMdd') AS c FROM types
-- date_format_names
SELECT id, date_format(ts, 'EEE, d MMM yyyy') AS a, date_format(ts, 'EEEE MMMM') AS b, date_format(ts, 'hh:mm a') AS c FROM types
-- date_format_fraction
SELECT id, date_format(ts, 'HH:mm:ss.SSS') AS a, date_format(ts, 'ss.SSSSSS') AS b, date_format(ts, "yyyy-MM-dd'T'HH:mm:ss'Z'") AS c, date_format(ts, 'D Q') AS d FROM types
-- to_date
SELECT id, to_date('2024-02-29') AS a, to_date('29/02/2024', 'dd/MM/yyyy') AS b, to_date(ts) AS c FROM types
-- to_timestamp
SELECT id, to_timestamp('2024-02-29 12:34:56') AS a, to_timestamp('29.02.2024 12:34', 'dd.MM.yyyy HH:mm') AS b, to_timestamp(day) AS c FROM types WHERE id <> 5
-- try_to_timestamp
SELECT id, try_to_timestamp(t) AS a, try_to_timestamp('x', 'yyyy') AS b FROM types WHERE id <> 5
-- try_to_date
SELECT id, try_to_date(t) AS a, try_to_date('x') AS b FROM types
-- unix
SELECT id, unix_timestamp(ts) AS a, to_unix_timestamp(ts) AS b, unix_timestamp('2024-02-29', 'yyyy-MM-dd') AS c FROM types
-- unix_units
SELECT id, unix_seconds(ts) AS a, unix_millis(ts) AS b, unix_micros(ts) AS c, unix_date(day) AS d FROM types
-- from_unixtime
SELECT id, from_unixtime(id * 86400) AS a, from_unixtime(0, 'yyyy/MM/dd') AS b FROM types
-- from_epoch
SELECT id, timestamp_seconds(id) AS a, timestamp_millis(id * 1000) AS b, timestamp_micros(id) AS c, date_from_unix_date(id) AS d FROM types
-- make_date
SELECT id, make_date(2024, 2, id) AS a, make_timestamp(2024, 2, 29, 12, id, 1.5) AS b FROM types
-- intervals
SELECT id, ts + INTERVAL 1 DAY AS a, ts - INTERVAL '2' HOUR AS b, day + INTERVAL 1 MONTH AS c, ts + INTERVAL 90 MINUTES AS d FROM types WHERE id NOT IN (4, 5)
-- interval_text
SELECT id, ts + INTERVAL '1 day 2 hours' AS a, ts + INTERVAL 1 YEAR AS b, ts - INTERVAL 10 SECONDS AS c FROM types WHERE id NOT IN (4, 5)
-- difference_of_dates
SELECT id, datediff(ts, DATE'2024-01-01') AS a, timestampdiff(HOUR, TIMESTAMP'2024-01-01 00:00:00', ts) AS b, timestampadd(DAY, 1, ts) AS c FROM types WHERE id NOT IN (4, 5)
-- compare_instants
SELECT id, ts > TIMESTAMP'2020-01-01 00:00:00' AS a, day < DATE'2000-01-01' AS b, day = '2024-02-29' AS c, ts >= '2024-01-01' AS d FROM types
-- date_literal
SELECT id, DATE'2024-02-29' AS a, TIMESTAMP'2024-02-29 01:02:03.456' AS b, date('2024-02-29') AS c, timestamp('2024-02-29 00:00:00') AS d FROM types
-- zones
SELECT id, from_utc_timestamp(ts, 'America/New_York') AS a, to_utc_timestamp(ts, 'Europe/Madrid') AS b FROM types WHERE year(ts) > 1970
-- zone_offsets
SELECT id, from_utc_timestamp(ts, '+05:30') AS a, convert_timezone('UTC', 'Europe/Berlin', TIMESTAMP_NTZ'2024-07-01 00:00:00') AS b FROM types WHERE id = 1
-- cast_date_instant
SELECT id, CAST(ts AS DATE) AS a, CAST(day AS TIMESTAMP) AS b FROM types WHERE id <> 5
-- names
SELECT id, monthname(day) AS a, dayname(day) AS b FROM types
-- floor_time
SELECT id, window.start AS a, window.end AS b FROM (SELECT id, window(ts, '1 hour') AS window FROM types WHERE ts IS NOT NULL)
-- group_by_day
SELECT CAST(ts AS DATE) AS day, count(*) AS n FROM events GROUP BY CAST(ts AS DATE)
-- group_by_minute
SELECT date_trunc('minute', ts) AS minute, count(*) AS n FROM events GROUP BY date_trunc('minute', ts)
-- make_interval
SELECT id, ts + make_interval(0, 0, 0, 1, 2, 3, 4.5) AS a, ts + make_dt_interval(1, 2, 3, 4.5) AS b FROM types WHERE id NOT IN (4, 5)
-- week_iso
SELECT id, extract(YEAROFWEEK FROM day) AS a, extract(DAYOFWEEK_ISO FROM day) AS b FROM types
