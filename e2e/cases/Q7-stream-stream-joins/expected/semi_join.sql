SELECT ad, shown_at, site FROM semi_join ORDER BY ad NULLS FIRST, shown_at NULLS FIRST, site NULLS FIRST
