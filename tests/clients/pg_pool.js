// node-postgres, a pool, which keeps what it opened.
const { Pool } = require('pg');
const { serve, connectionString } = require('./protocol.js');

const pool = new Pool({ connectionString, max: 5 });

serve(async (text) => (await pool.query(text)).rows[0], () => pool.end());
