// node-postgres, a pool, which keeps what it opened.
const { Pool } = require('pg');
const { serve, tls } = require('./protocol.js');

const pool = new Pool({
    connectionString: process.env.DATABASE_URL,
    max: 5,
    ssl: tls && { rejectUnauthorized: false },
});

serve(async (text) => (await pool.query(text)).rows[0], () => pool.end());
