SELECT host, by_js, by_py, slow FROM means ORDER BY host
