// Prisma 7, whose adapter has a pool of node-postgres's.
const { PrismaPg } = require('@prisma/adapter-pg');
const { PrismaClient } = require('@prisma/client');
const { converse, describe, hear, size, until } = require('./pool.js');

const PATIENCE = { maxWait: 60000, timeout: 60000 };
let errors = 0;
const adapter = new PrismaPg(
    { max: size, idleTimeoutMillis: 0 },
    { onPoolError: (error) => hear(errors++, `pool's error ${describe(error)}`) }
);
const prisma = new PrismaClient({ adapter });

// In a transaction until it is given back.
function take() {
    return new Promise((taken, failed) => {
        const ended = prisma.$transaction(
            (connection) => new Promise((commit) => taken({ connection, commit, ended: () => ended })),
            PATIENCE
        );
        ended.catch(failed);
    });
}

const ask = async ({ connection }, text) => (await connection.$queryRawUnsafe(text))[0].answer;

async function give({ commit, ended }) {
    commit();
    await ended();
}

converse({
    take, ask, give,
    use: (text) => ask({ connection: prisma }, text),
    settle: () => until(() => errors === size - 1),
    close: () => prisma.$disconnect(),
});
