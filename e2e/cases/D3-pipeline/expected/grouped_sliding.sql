SELECT w.window.start AS start, word, array_join(ns, '+') AS ns, array_join(prices, '+') AS prices FROM grouped_sliding w WHERE word <> 'end' ORDER BY start, word
