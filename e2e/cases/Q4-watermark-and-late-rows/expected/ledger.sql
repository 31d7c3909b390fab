SELECT epoch, view, watermark_ms FROM late_rows ORDER BY epoch, watermark_ms
