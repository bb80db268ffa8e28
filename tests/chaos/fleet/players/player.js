// A member of the fleet, see player.py.   player.js pg|pool|prisma STEP…   Its fork is a child process of its own.
const fs = require('fs');
const { spawn } = require('child_process');

const say = (...words) => fs.writeSync(1, words.join(' ').replace(/\n/g, '\\n') + '\n');
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const options = {
    host: process.env.PGHOST,
    port: Number(process.env.PGPORT),
    user: process.env.PGUSER,
    database: process.env.PGDATABASE,
};

const drivers = {
    pg() {
        const { Client } = require('pg');
        return {
            async connect() {
                const client = new Client(options);
                client.on('error', () => {}); // heard again when it is asked
                await client.connect();
                return client;
            },
            ask: (client, sql) => client.query(sql),
            close: (client) => client.end(),
        };
    },
    // What is closed goes back to the pool, which keeps it for a second.
    pool() {
        const { Pool } = require('pg');
        const pool = new Pool({ ...options, max: 4, idleTimeoutMillis: 1000 });
        pool.on('error', () => {});
        return {
            // By the callback, which is called before anything else is read: the server may have said its last word already.
            connect: () =>
                new Promise((resolve, reject) => {
                    pool.connect((error, client) => {
                        if (error) return reject(error);
                        client.on('error', () => {});
                        resolve(client);
                    });
                }),
            ask: (client, sql) => client.query(sql),
            close: (client) => client.release(),
        };
    },
    prisma() {
        const { PrismaPg } = require('@prisma/adapter-pg');
        const { PrismaClient } = require('@prisma/client');
        return {
            async connect() {
                const prisma = new PrismaClient({ adapter: new PrismaPg({ ...options, max: 2 }) });
                await prisma.$queryRawUnsafe('SELECT 1');
                return prisma;
            },
            ask: (prisma, sql) => prisma.$queryRawUnsafe(`SELECT 1 FROM (${sql}) AS slept`),
            close: (prisma) => prisma.$disconnect(),
        };
    },
};

const name = process.argv[2];
const driver = drivers[name]();
const opened = [];

const verbs = {
    async open() {
        try {
            opened.push(await driver.connect());
            say('open');
        } catch (error) {
            say('failed', error.name, error.code, error.message, error.detail ?? '');
        }
    },
    async ask(ms) {
        if (!opened.length) return;
        try {
            await driver.ask(opened.at(-1), `SELECT pg_sleep(${ms / 1000})`);
        } catch (error) {
            say('lost', error.name, error.code, error.message);
            await verbs.close();
        }
    },
    async hold(ms) {
        await sleep(Number(ms));
        while (fs.existsSync(process.env.FLEET_GATE)) await sleep(20);
    },
    async close() {
        if (!opened.length) return;
        try {
            await driver.close(opened.pop());
        } catch (error) {
            say('lost', error.name, error.code, error.message);
        }
    },
};

(async () => {
    const steps = process.argv.slice(3);
    for (const [number, step] of steps.entries()) {
        const [what, argument] = step.split(':');
        if (what === 'fork') {
            say('fork');
            spawn(process.execPath, [__filename, name, ...steps.slice(number + 1)], { stdio: 'inherit' });
        } else {
            await verbs[what](argument);
        }
    }
    process.exit(0);
})();
