SELECT visitor, first, last, clicks, path, favourite FROM finished_py ORDER BY visitor, first
