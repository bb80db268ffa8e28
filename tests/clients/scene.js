// A service in development: it opens a pool, and at every hot reload another one, without closing the first. Says
// "ready", and begins when its stdin ends, so that many can begin at once; then of every query "served" or
// "error: CODE: MESSAGE".
const SIZE = 5;
const RELOADS = 3;

async function use(query) {
    try {
        await query();
        console.log('served');
    } catch (error) {
        console.log(`error: ${error.code}: ${error.message.trimEnd().split('\n').pop()}`);
    }
}

// `open` makes a pool and gives a function that asks it something.
exports.serve = function serve(open) {
    process.stdin.resume().on('end', async () => {
        for (let reload = 0; reload <= RELOADS; reload++) {
            const query = open({
                connectionString: process.env.DATABASE_URL,
                max: SIZE,
                idleTimeoutMillis: 2000,
            });
            await Promise.all(Array.from({ length: SIZE }, () => use(query)));
        }
    });
    console.log('ready');
};
