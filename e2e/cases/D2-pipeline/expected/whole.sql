SELECT * FROM whole
