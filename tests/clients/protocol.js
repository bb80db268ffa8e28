// What every client in node does, see protocol.py. It is asked from its first moment on, so that it can be
// heard whether its event loop runs while it connects.
const readline = require('readline');

const QUERY = "SELECT 6 * 7 AS answer, current_setting('application_name') AS name";

function failed(error) {
    const text = [error.message, error.detail, error.hint].filter((part) => part !== undefined).join('\n');
    console.log(`failed: ${error.name}: ${error.code}: ${text.trimEnd().replace(/\n/g, '\\n')}`);
    process.exit(1);
}

// `query` gives a promise of the first row, an object.
exports.serve = function serve(query, close) {
    const began = process.hrtime.bigint();
    let ticks = 0;
    setInterval(() => ticks++, 10);

    const input = readline.createInterface({ input: process.stdin });
    input.on('line', async (line) => {
        if (line === 'ticks') {
            console.log(`${ticks} ${Number(process.hrtime.bigint() - began) / 1e9}`);
        } else if (line === 'query') {
            const row = await query(QUERY);
            console.log(`${row.answer}|${row.name}`);
        } else if (line === 'close') {
            await close();
            console.log('closed');
        } else if (line === 'exit') {
            process.exit(0);
        }
    });
    input.on('close', () => process.exit(0));
    query('SELECT pg_backend_pid() AS pid').then((row) => console.log(`connected ${row.pid}`), failed);
};

// How to connect with node-postgres. What the matrix wants of TLS is nothing, 'prefer' or 'require', in libpq's
// sense; by itself node-postgres reads all of these as verify-full.
const tls = process.env.CLIENT_TLS;
exports.connectionString =
    process.env.DATABASE_URL + (tls ? `?uselibpqcompat=true&sslmode=${tls}` : '');
