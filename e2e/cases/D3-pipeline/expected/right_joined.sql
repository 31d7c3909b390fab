SELECT w.window.start AS start, word, n, price FROM right_joined w WHERE word <> 'end' ORDER BY start, word, n, price
