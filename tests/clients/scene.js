// A service in development: it opens a pool, and at every hot reload another one, without closing the first.
// Says what failed: nothing, or the codes.
const { Pool } = require('pg');

const POOL = 5;
const RELOADS = 3;
const codes = {};

async function query(pool) {
    try {
        await pool.query('SELECT pg_sleep(0.01)');
    } catch (error) {
        codes[error.code] = (codes[error.code] ?? 0) + 1;
    }
}

async function main() {
    for (let reload = 0; reload <= RELOADS; reload++) {
        const pool = new Pool({
            connectionString: process.env.DATABASE_URL,
            max: POOL,
            idleTimeoutMillis: 2000,
        });
        pool.on('error', () => {});
        await Promise.all(Array.from({ length: POOL }, () => query(pool)));
    }
    console.log(JSON.stringify(codes));
}

main();
