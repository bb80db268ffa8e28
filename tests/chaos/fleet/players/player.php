<?php
// A member of the fleet, see player.py.   player.php pdo|pgsql STEP…

function say(string ...$words): void
{
    fwrite(STDOUT, str_replace("\n", '\n', implode(" ", $words)) . "\n");
}

function wish(): string
{
    return sprintf("host=%s port=%s dbname=%s user=%s",
        getenv("PGHOST"), getenv("PGPORT"), getenv("PGDATABASE"), getenv("PGUSER"));
}

// A warning is how the extension pgsql says why.
set_error_handler(function (int $level, string $text): never {
    throw new RuntimeException($text);
});

$drivers = [
    "pdo" => [
        fn() => new PDO("pgsql:" . str_replace(" ", ";", wish())),
        fn($connection, $sql) => $connection->query($sql)->fetchAll(),
    ],
    "pgsql" => [
        fn() => pg_connect(wish(), PGSQL_CONNECT_FORCE_NEW),
        fn($connection, $sql) => pg_query($connection, $sql),
    ],
];
[$connect, $ask] = $drivers[$argv[1]];
$steps = array_slice($argv, 2);
$opened = []; // with who opened it; a connection closes when nobody refers to it

while (($step = array_shift($steps)) !== null) {
    [$what, $argument] = explode(":", $step . ":");
    switch ($what) {
    case "open":
        try {
            $opened[] = [$connect(), getmypid()];
            say("open");
        } catch (Exception $error) {
            say("failed", $error->getMessage());
        }
        break;
    case "ask":
        if ($opened && end($opened)[1] === getmypid()) {
            try {
                $ask(end($opened)[0], "SELECT pg_sleep(" . $argument / 1000 . ")");
            } catch (Exception $error) {
                say("lost", $error->getMessage());
                $error = null; // its trace refers to the connection
                array_pop($opened);
            }
        }
        break;
    case "hold":
        usleep($argument * 1000);
        while (file_exists(getenv("FLEET_GATE"))) {
            usleep(20000);
            clearstatcache();
        }
        break;
    case "close":
        array_pop($opened);
        break;
    case "fork":
        say("fork");
        pcntl_fork();
        break;
    case "exec":
        say("exec");
        pcntl_exec(PHP_BINARY, [__FILE__, $argv[1], ...$steps]);
    }
}
