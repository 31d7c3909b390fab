SELECT network, n FROM mapped ORDER BY network
