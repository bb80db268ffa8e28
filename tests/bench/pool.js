// A pool of node-postgres at work: for each number it reads it asks that many queries, five at a time, and says
// how many they were a second, and how many µs of processor each took here.
const readline = require('readline');
const { Pool } = require('pg');

const SIZE = 5;
const ROWS = 100000; // pgbench -i
const pool = new Pool({ max: SIZE });

async function ask(times) {
    for (let i = 0; i < times; i++) {
        const aid = 1 + Math.floor(Math.random() * ROWS);
        await pool.query('SELECT abalance FROM pgbench_accounts WHERE aid = $1', [aid]);
    }
}

async function work(times) {
    const before = process.cpuUsage();
    const began = process.hrtime.bigint();
    await Promise.all(Array.from({ length: SIZE }, () => ask(times / SIZE)));
    const seconds = Number(process.hrtime.bigint() - began) / 1e9;
    const { user, system } = process.cpuUsage(before);
    console.log(times / seconds, (user + system) / times);
}

readline
    .createInterface({ input: process.stdin })
    .on('line', (line) => work(Number(line)))
    .on('close', () => process.exit(0));
