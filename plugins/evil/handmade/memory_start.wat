;; Is two gigabytes large from the start.
(memory $memory 32768)
