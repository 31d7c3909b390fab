SELECT w.window.start AS start, word, n, price FROM joined w WHERE word <> 'end' ORDER BY start, word, n, price
