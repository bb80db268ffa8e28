// What the programs in node do with their pools, see pool.py. What they hear of their connections meanwhile is told
// before they are used again.
const readline = require('readline');

const SIZE = 4;
const USES = 5;
const QUERY = 'SELECT 6 * 7 AS answer';
const heard = [];

exports.size = SIZE;

// A connection's events, by its number.
exports.hear = function hear(number, event) {
    heard[number] = [...(heard[number] ?? []), event];
};

exports.describe = function describe(error) {
    const text = error.message.trimEnd() + (error.detail ? `\nDETAIL: ${error.detail}` : '');
    return `${error.name}: ${error.code}: ${text.replace(/\n/g, '\\n')}`;
};

function tell() {
    heard.splice(0).forEach((events, number) => events.forEach((event) => console.log(`heard of ${number}: ${event}`)));
}

// `take` gives a connection in a transaction, `ask` what it answers, `give` commits. `use` is a query by the pool's own
// means; `settle` waits until the pool has heard of all that has happened.
exports.converse = async function converse({ take, ask, give, use, settle, close }) {
    const taken = [];
    for (let number = 0; number < SIZE; number++) taken.push(await take(number));
    const pids = [];
    for (const connection of taken) pids.push(await ask(connection, 'SELECT pg_backend_pid() AS answer'));
    const fourth = taken.pop();
    console.log(`open ${pids.slice(0, -1).join(' ')}`);

    const orders = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
    await orders.next();
    for (const connection of taken) await give(connection);
    console.log('resting');

    await orders.next();
    await settle();
    tell();
    for (let number = 0; number < USES; number++) {
        console.log(await use(QUERY).catch((error) => `failed: ${exports.describe(error)}`));
    }
    console.log(`the fourth: ${await ask(fourth, QUERY)}`);
    await give(fourth);
    await close();
    tell();
    console.log('over');
};

// Polls, while the event loop runs.
exports.until = async function until(condition) {
    while (!condition()) await new Promise((resolve) => setTimeout(resolve, 10));
};
