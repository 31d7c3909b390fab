;; Never comes back from being started.
(start $forever)
