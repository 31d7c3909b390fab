SELECT ip AS network, n FROM networks ORDER BY network
