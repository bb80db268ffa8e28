-- Looks at who is connected until the lock is to be had, which is the sign that all is over. What it sees is the
-- server's own account, without itself and others who only look on.
DO $$
DECLARE
    now_there int;
    nameless_now int;
    most int := 0;
    nameless int := 0;
    samples int := 0;
BEGIN
    LOOP
        PERFORM pg_stat_clear_snapshot();
        SELECT count(*), count(*) FILTER (WHERE application_name = '' AND state <> 'starting')
            INTO now_there, nameless_now FROM pg_stat_activity
            WHERE backend_type = 'client backend' AND application_name NOT LIKE 'observer %';
        most := greatest(most, now_there);
        nameless := greatest(nameless, nameless_now);
        samples := samples + 1;
        EXIT WHEN pg_try_advisory_lock(1);
        PERFORM pg_sleep(0.001);
    END LOOP;
    PERFORM pg_advisory_unlock(1);
    PERFORM set_config('observer.seen', format('%s|%s|%s', most, nameless, samples), false);
END $$;
SELECT current_setting('observer.seen');
