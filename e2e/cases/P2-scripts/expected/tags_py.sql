SELECT host, tag, n FROM tags_py ORDER BY host, tag
