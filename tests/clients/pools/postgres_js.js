// postgres.js, which keeps what it opened until it is told otherwise.
const postgres = require('postgres');
const { converse, hear, size, until } = require('./pool.js');

const ended = [];
const sql = postgres({ max: size, onclose: (id) => ended.push(id) });

async function take() {
    const connection = await sql.reserve();
    await connection.unsafe('BEGIN');
    return connection;
}

const ask = async (connection, text) => (await connection.unsafe(text))[0].answer;

async function give(connection) {
    await connection.unsafe('COMMIT');
    connection.release();
}

async function settle() {
    await until(() => ended.length === size - 1);
    ended.sort().forEach((id) => hear(0, `close of ${id}`));
}

converse({ take, ask, give, use: (text) => ask(sql, text), settle, close: () => sql.end() });
