SELECT visitor, first, last, clicks, path, favourite FROM finished ORDER BY visitor, first
