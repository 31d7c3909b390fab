--- Functions of text.
-- upper_lower
SELECT id, upper(s) AS u, lower(s) AS l, ucase(s) AS uc, lcase(s) AS lc FROM types
-- length
SELECT id, length(s) AS a, char_length(s) AS b, character_length(s) AS c, len(s) AS d, octet_length(s) AS e, bit_length(s) AS f FROM types
-- trim
SELECT id, trim(s) AS a, ltrim(s) AS b, rtrim(s) AS c, btrim(s) AS d FROM types
-- trim_chars
SELECT id, trim(BOTH 'a' FROM s) AS a, ltrim('a', s) AS b, trim(LEADING 'aH' FROM s) AS c, btrim(s, 'ac') AS d FROM types
-- substring
SELECT id, substring(s, 2, 3) AS a, substr(s, 3) AS b, substring(s, -3, 2) AS c, substring(s, 0, 2) AS d, substring(s FROM 2 FOR 4) AS e FROM types
-- left_right
SELECT id, left(s, 3) AS a, right(s, 3) AS b, left(s, 0) AS c, right(s, -1) AS d FROM types
-- substring_index
SELECT id, substring_index(s, '.', 2) AS a, substring_index(s, '.', -1) AS b, substring_index(s, ',', 1) AS c FROM types
-- concat
SELECT id, concat(s, g) AS a, concat_ws('-', g, s, j) AS b, concat('x', NULL) AS c, concat(i, 'x') AS d FROM types
-- concat_ws_array
SELECT id, concat_ws(',', sa) AS a, concat_ws('/', g, sa, 'end') AS b FROM types
-- pad
SELECT id, lpad(g, 4, '*') AS a, rpad(g, 4, 'xy') AS b, lpad(s, 3) AS c, rpad(s, 2) AS d FROM types
-- replace
SELECT id, replace(s, 'a', 'bb') AS a, replace(s, 'a') AS b, translate(s, 'abc', 'AB') AS c FROM types
-- reverse_repeat
SELECT id, reverse(s) AS a, repeat(g, 3) AS b, space(2) AS c, repeat(g, -1) AS d FROM types
-- find
SELECT id, instr(s, 'a') AS a, locate('a', s) AS b, locate('a', s, 3) AS c, position('b' IN s) AS d FROM types
-- starts_ends
SELECT id, startswith(s, 'a') AS a, endswith(s, 'c') AS b, contains(s, 'b') AS c FROM types
-- initcap
SELECT id, initcap(s) AS v FROM types
-- ascii_chr
SELECT id, ascii(s) AS a, chr(65 + id) AS b, char(97) AS c FROM types
-- split
SELECT id, split(s, ',') AS a, split(s, '[aeiou]') AS b, split(s, ',', 2) AS c FROM types
-- split_part
SELECT id, split_part(s, ',', 2) AS a, split_part(s, ',', -1) AS b FROM types
-- regexp_replace
SELECT id, regexp_replace(s, '[aeiou]', '_') AS a, regexp_replace(s, '(a)(b)', '$2$1') AS b FROM types
-- regexp_extract
SELECT id, regexp_extract(s, '(\\w+) (\\w+)', 2) AS a, regexp_extract(s, '([a-z]+)') AS b, regexp_extract(s, '[a-z]+', 0) AS c FROM types
-- regexp_extract_all
SELECT id, regexp_extract_all(s, '([a-z])([a-z])', 1) AS a, regexp_extract_all(s, '[A-Z]', 0) AS b FROM types
-- regexp_like
SELECT id, regexp_like(s, '[0-9]') AS a, regexp(s, '^a') AS b, s REGEXP 'b' AS c, rlike(s, 'c$') AS d FROM types
-- regexp_count
SELECT id, regexp_count(s, '[a-c]') AS a, regexp_instr(s, 'b') AS b, regexp_substr(s, '[b-z]+') AS c FROM types
-- like_any
SELECT id, s LIKE ANY ('a%', '%c') AS a, s LIKE ALL ('a%', '%c') AS b FROM types
-- like_underscore
SELECT id, s LIKE '_BC%' AS a, s LIKE 'a__a' AS b, s NOT LIKE '%a%' AS c, s ILIKE 'A%' AS d FROM types
-- levenshtein
SELECT id, levenshtein(s, 'aaab') AS a, soundex(s) AS b FROM types
-- overlay
SELECT id, overlay(s PLACING '_' FROM 2) AS a, overlay(s PLACING 'XY' FROM 2 FOR 1) AS b FROM types
-- hex_text
SELECT id, hex(s) AS a, hex(l) AS b, unhex('4142') AS c, hex(i) AS d FROM types
-- base64
SELECT id, base64(s) AS a, unbase64('c3BhcmsgU1FM') AS b FROM types
-- encode_decode
SELECT id, encode(s, 'UTF-8') AS a, decode(encode(s, 'UTF-8'), 'UTF-8') AS b FROM types
-- hashes
SELECT id, md5(s) AS a, sha1(s) AS b, sha(s) AS c, sha2(s, 256) AS d, crc32(s) AS e FROM types
-- sha2_bits
SELECT id, sha2(s, 0) AS a, sha2(s, 224) AS b, sha2(s, 512) AS c FROM types
-- spark_hash
SELECT id, hash(s) AS a, hash(i) AS b, hash(i, s) AS c, hash(l) AS d FROM types
-- xxhash64
SELECT id, xxhash64(s) AS a, xxhash64(i) AS b FROM types
-- format_string
SELECT id, format_string('%s-%d', s, i) AS a, format_string('%5d|%-5s|%05d', i, g, i) AS b, printf('%s', g) AS c FROM types
-- format_number
SELECT id, format_number(l, 2) AS a, format_number(d, 1) AS b, format_number(i, 0) AS c FROM types
-- find_in_set
SELECT id, find_in_set('b', s) AS a, find_in_set('c', 'a,b,c') AS b FROM types
-- elt_field
SELECT id, elt(1, s, g) AS a, elt(2, s, g) AS b FROM types
-- parse_url
SELECT id, parse_url(s, 'HOST') AS a, parse_url(s, 'QUERY', 'q') AS b, parse_url(s, 'PATH') AS c FROM types WHERE s LIKE 'http%'
-- url_coding
SELECT id, url_encode(s) AS a, url_decode(url_encode(s)) AS b FROM types
-- mask
SELECT id, mask(s) AS a, mask(s, 'Q', 'q', 'd', 'o') AS b FROM types
-- luhn
SELECT id, luhn_check('79927398713') AS a, luhn_check(num) AS b FROM types
-- quote_text
SELECT id, quote(s) AS v FROM types
-- sentences_free
SELECT id, str_to_map('a:1,b:2') AS a, str_to_map(s, ',', '=') AS b FROM types WHERE id IN (1, 2, 13)
-- compare
SELECT id, s > 'a' AS a, s < 'Z' AS b, s = '' AS c, greatest(s, g) AS d, least(s, g) AS e FROM types
-- empty_null
SELECT id, nullif(s, '') AS a, nvl(s, 'n') AS b, ifnull(g, 'n') AS c, nvl2(g, 'y', 'n') AS d FROM types
-- to_char
SELECT id, to_char(i, '999') AS a, to_number('1234', '9999') AS b FROM types WHERE i BETWEEN 0 AND 100
-- raw_escapes
SELECT id, 'a\tb\n\\ \'q\'' AS a, "double" AS b, r'\d' AS c FROM types
-- adjacent_literals
SELECT id, 'abc' 'def' AS a FROM types
-- is_valid_utf8
SELECT id, is_valid_utf8(s) AS v FROM types
