SELECT sum(i) FROM generate_series(1, 1000) AS i;
\sleep 10 ms
SELECT 1;
