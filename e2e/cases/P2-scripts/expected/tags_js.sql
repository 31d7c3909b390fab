SELECT host, tag, n FROM tags_js ORDER BY host, tag
