// Prisma 7, whose connections are node-postgres's, in a pool.
const { PrismaPg } = require('@prisma/adapter-pg');
const { PrismaClient } = require('@prisma/client');
const { serve, tls } = require('./protocol.js');

const adapter = new PrismaPg({
    connectionString: process.env.DATABASE_URL,
    ssl: tls && { rejectUnauthorized: false },
});
const prisma = new PrismaClient({ adapter });

async function query(text) {
    await prisma.matrix.count(); // as programs do; raw queries report a refusal in another way
    return (await prisma.$queryRawUnsafe(text))[0];
}

serve(query, () => prisma.$disconnect());
