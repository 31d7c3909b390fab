SELECT w.window.start AS start, n FROM greatest w
