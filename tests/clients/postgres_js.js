// postgres.js.
const postgres = require('postgres');
const { serve, tls } = require('./protocol.js');

const sql = postgres(process.env.DATABASE_URL, { max: 1, ssl: tls });

serve(async (text) => (await sql.unsafe(text))[0], () => sql.end());
