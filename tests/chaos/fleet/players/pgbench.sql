\set ms random(1, 100)
SELECT 1;
\sleep :ms ms
SELECT pg_sleep(0.001);
