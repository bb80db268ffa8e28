// postgres.js.
const postgres = require('postgres');
const { serve } = require('./protocol.js');

const sql = postgres(process.env.DATABASE_URL, { max: 1, ssl: process.env.CLIENT_TLS });

serve(async (text) => (await sql.unsafe(text))[0], () => sql.end());
