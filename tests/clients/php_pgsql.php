<?php
// The extension pgsql. It has no exceptions: a failure is a warning, taken here as it comes.
set_error_handler(function ($level, $text) {
    echo "failed: ", $level === E_WARNING ? "E_WARNING" : $level, ": ",
        str_replace("\n", '\n', rtrim($text, "\n")), "\n";
    exit(1);
});
$connection = pg_connect(getenv("DATABASE_URL"));
restore_error_handler();

echo "connected ", pg_get_pid($connection), "\n";
while (($line = fgets(STDIN)) !== false) {
    switch (trim($line)) {
    case "query":
        $result = pg_query($connection, "SELECT 6 * 7, current_setting('application_name')");
        echo implode("|", pg_fetch_row($result)), "\n";
        break;
    case "close":
        pg_close($connection);
        echo "closed\n";
        break;
    case "exit":
        exit(0);
    }
}
