// node-postgres, one connection: a socket of node's own.
const { Client } = require('pg');
const { serve, connectionString } = require('./protocol.js');

const client = new Client({ connectionString });
let connecting;

async function query(text) {
    await (connecting ??= client.connect());
    return (await client.query(text)).rows[0];
}

serve(query, () => client.end());
