// Prisma 7, whose connections are node-postgres's, in a pool.
const { PrismaPg } = require('@prisma/adapter-pg');
const { PrismaClient } = require('@prisma/client');
const { serve, connectionString } = require('./protocol.js');

const prisma = new PrismaClient({ adapter: new PrismaPg({ connectionString }) });

async function query(text) {
    await prisma.matrix.count(); // as programs do; raw queries report a refusal in another way
    return (await prisma.$queryRawUnsafe(text))[0];
}

serve(query, () => prisma.$disconnect());
