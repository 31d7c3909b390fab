SELECT tag, n FROM tags ORDER BY tag
