// node-postgres. With the argument "deaf" nobody listens to what the pool has to say.
const { Pool } = require('pg');
const { converse, describe, hear, size, until } = require('./pool.js');

const pool = new Pool({ max: size, idleTimeoutMillis: 0 });
const number = new Map();
let ended = 0;

if (process.argv[2] !== 'deaf') {
    pool.on('error', (error, client) => hear(number.get(client), `pool's error ${describe(error)}`));
    pool.on('remove', (client) => hear(number.get(client), "pool's remove"));
}

async function take(which) {
    const client = await pool.connect();
    number.set(client, which);
    client.on('end', () => {
        hear(which, 'end');
        ended++;
    });
    await client.query('BEGIN');
    return client;
}

const ask = async (client, text) => (await client.query(text)).rows[0].answer;

async function give(client) {
    await client.query('COMMIT');
    client.release();
}

converse({
    take, ask, give,
    use: (text) => ask(pool, text),
    settle: () => until(() => ended === size - 1),
    close: () => pool.end(),
});
