SELECT ad, shown_at, site, clicked, clicked_at, user FROM right_join ORDER BY ad NULLS FIRST, shown_at NULLS FIRST, site NULLS FIRST, clicked NULLS FIRST, clicked_at NULLS FIRST, user NULLS FIRST
