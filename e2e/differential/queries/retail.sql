--- The retail year, where it is given.
-- totals needs=retail
SELECT count(*) AS n, sum(Quantity) AS q, sum(Quantity * UnitPrice) AS r, count(DISTINCT InvoiceNo) AS i FROM retail
-- by_country needs=retail
SELECT Country, count(*) AS n, sum(Quantity * UnitPrice) AS r, avg(UnitPrice) AS p FROM retail GROUP BY Country
-- by_month needs=retail
SELECT date_trunc('MONTH', InvoiceDate) AS m, count(DISTINCT CustomerID) AS c, sum(Quantity) AS q FROM retail GROUP BY date_trunc('MONTH', InvoiceDate)
-- windows needs=retail
SELECT window.start AS s, count(*) AS n, sum(Quantity * UnitPrice) AS r FROM retail GROUP BY window(InvoiceDate, '7 days')
-- top_products needs=retail
SELECT StockCode, sum(Quantity) AS q FROM retail GROUP BY StockCode ORDER BY q DESC, StockCode LIMIT 20
-- hours needs=retail
SELECT hour(InvoiceDate) AS h, dayofweek(InvoiceDate) AS d, count(*) AS n FROM retail GROUP BY hour(InvoiceDate), dayofweek(InvoiceDate)
-- cancelled needs=retail
SELECT Country, count(*) FILTER (WHERE InvoiceNo LIKE 'C%') AS c, min(UnitPrice) AS l, max(UnitPrice) AS m FROM retail GROUP BY Country HAVING count(*) > 100
-- spread needs=retail
SELECT Country, round(var_pop(Quantity), 2) AS v, min(InvoiceDate) AS f, max(InvoiceDate) AS l FROM retail GROUP BY Country
-- words needs=retail
SELECT word, count(*) AS n FROM (SELECT explode(split(lower(Description), ' ')) AS word FROM retail) GROUP BY word ORDER BY n DESC, word LIMIT 30
