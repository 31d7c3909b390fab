SELECT w.window.start AS start, word, n, price FROM left_joined w WHERE word <> 'end' ORDER BY start, word, n, price
