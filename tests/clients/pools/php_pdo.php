<?php
// The extension pdo_pgsql with persistent connections, which PHP keeps and looks at when they are asked for again.
const SIZE = 4;
const USES = 5;
const QUERY = "SELECT 6 * 7";

function take(int $number): PDO {
    return new PDO("pgsql:", null, null, [PDO::ATTR_PERSISTENT => "connection $number"]);
}

function ask(PDO $connection, string $text): string {
    return $connection->query($text)->fetchColumn();
}

function attempt(int $number): string {
    try {
        return ask(take($number), QUERY);
    } catch (PDOException $error) {
        $text = str_replace("\n", '\n', rtrim($error->getMessage(), "\n"));
        return "failed: " . get_class($error) . ": {$error->getCode()}: $text";
    }
}

$pids = [];
$taken = array_map('take', range(0, SIZE - 1));
foreach ($taken as $connection) {
    $connection->beginTransaction();
    $pids[] = ask($connection, "SELECT pg_backend_pid()");
}
$fourth = array_pop($taken);
array_pop($pids);
echo "open ", implode(" ", $pids), "\n";

fgets(STDIN);
foreach ($taken as $connection)
    $connection->commit();
unset($taken, $connection);
echo "resting\n";

fgets(STDIN);
for ($number = 0; $number < USES; $number++)
    echo attempt($number % (SIZE - 1)), "\n";
echo "the fourth: ", ask($fourth, QUERY), "\n";
$fourth->commit();
unset($fourth);
echo "over\n";
