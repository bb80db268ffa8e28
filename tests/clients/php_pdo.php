<?php
// The extension pdo_pgsql. Its connection closes when nobody refers to it.
try {
    $connection = new PDO(sprintf("pgsql:host=%s;port=%s;dbname=%s;user=%s",
        getenv("PGHOST"), getenv("PGPORT"), getenv("PGDATABASE"), getenv("PGUSER")));
} catch (PDOException $error) {
    $text = str_replace("\n", '\n', rtrim($error->getMessage(), "\n"));
    echo "failed: ", get_class($error), ": $text\n";
    exit(1);
}

echo "connected ", $connection->query("SELECT pg_backend_pid()")->fetchColumn(), "\n";
while (($line = fgets(STDIN)) !== false) {
    switch (trim($line)) {
    case "query":
        $result = $connection->query("SELECT 6 * 7, current_setting('application_name')");
        echo implode("|", $result->fetch(PDO::FETCH_NUM)), "\n";
        $result = null; // a result refers to it too
        break;
    case "close":
        $connection = null;
        echo "closed\n";
        break;
    case "exit":
        exit(0);
    }
}
