SELECT favourite, visits, clicks FROM by_favourite ORDER BY favourite
