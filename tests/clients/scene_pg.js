const { Pool } = require('pg');
const { serve } = require('./scene.js');

serve((options) => {
    const pool = new Pool(options);
    pool.on('error', () => {});
    return () => pool.query('SELECT count(*) FROM matrix');
});
