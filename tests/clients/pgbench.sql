-- The protocol in pgbench's words: its shell reads our lines.
SELECT pg_backend_pid() AS pid \gset
\shell echo connected :pid
\shell read line
SELECT format('"%s|%s"', 6 * 7, current_setting('application_name')) AS answer \gset
\shell echo :answer
\shell read line
