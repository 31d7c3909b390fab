SELECT visitor, first, last, clicks, path, favourite FROM finished_js ORDER BY visitor, first
