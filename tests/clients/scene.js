// A service in development: it opens a pool, and at every hot reload another one, without closing the first. Says
// "ready", and begins when its stdin ends, so that many can begin at once; then of every query "served" or
// "error: CODE: MESSAGE", and the detail if there is one.
const SIZE = 5;
const RELOADS = Number(process.env.SCENE_RELOADS ?? 3);
const IDLE_MS = Number(process.env.SCENE_IDLE_MS ?? 2000); // 0: what is idle is never closed

async function use(query) {
    try {
        await query();
        console.log('served');
    } catch (error) {
        const detail = error.detail ? `: ${error.detail}` : '';
        console.log(`error: ${error.code}: ${error.message.trimEnd().split('\n').pop()}${detail}`);
    }
}

// `open` makes a pool and gives a function that asks it something.
exports.serve = function serve(open) {
    process.stdin.resume().on('end', async () => {
        for (let reload = 0; reload <= RELOADS; reload++) {
            const query = open({
                connectionString: process.env.DATABASE_URL,
                max: SIZE,
                idleTimeoutMillis: IDLE_MS,
            });
            await Promise.all(Array.from({ length: SIZE }, () => use(query)));
        }
    });
    console.log('ready');
};
