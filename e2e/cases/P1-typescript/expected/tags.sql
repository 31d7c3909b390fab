SELECT host, tag, n FROM tags ORDER BY host, tag
