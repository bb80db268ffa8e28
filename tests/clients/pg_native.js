// node with pg-native: PQconnectdb in a thread of libuv's pool.
const Client = require('pg-native');
const readline = require('readline');

const client = new Client();
client.connect(process.env.DATABASE_URL, (error) => {
    if (error) {
        console.log(`failed: ${error.name}: ${error.message.trimEnd().replace(/\n/g, '\\n')}`);
        process.exitCode = 1;
        return;
    }
    console.log(`connected ${client.querySync('SELECT pg_backend_pid() AS pid')[0].pid}`);
    const input = readline.createInterface({ input: process.stdin });
    input.on('line', (line) => {
        if (line === 'query') {
            const sql = "SELECT 6 * 7 AS answer, current_setting('application_name') AS name";
            client.query(sql, (_, rows) => console.log(`${rows[0].answer}|${rows[0].name}`));
        } else if (line === 'close') {
            client.end(() => console.log('closed'));
        } else if (line === 'exit') {
            process.exit(0);
        }
    });
});
