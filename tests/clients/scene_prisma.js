// A short life: the compiler that pays in a long one is left out (0.27 s of processor instead of 0.5).
require('v8').setFlagsFromString('--liftoff-only');
const { PrismaPg } = require('@prisma/adapter-pg');
const { PrismaClient } = require('@prisma/client');
const { serve } = require('./scene.js');

serve((options) => {
    const prisma = new PrismaClient({ adapter: new PrismaPg(options) });
    return () => prisma.matrix.count();
});
