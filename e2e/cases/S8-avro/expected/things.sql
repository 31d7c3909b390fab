SELECT id, label, small, ratio, weight, sold, lower(hex(picture)) AS picture, lower(hex(code)) AS code, color,
       aggregate_sizes AS sizes FROM things_seen
