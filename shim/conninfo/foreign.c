#include "conninfo/foreign.h"

#include <string.h>

/* Each list names its source. What asks for TLS, for another server or for a read-only session is
 * on a list only with values that lose nothing when they go; with any other it stays, and libpq
 * refuses the string. */
static const struct pqb_foreign list[] = {
    /* Prisma: quaint/src/connector/postgres/url.rs in prisma-engines, and "PostgreSQL connector,
     * Arguments" in its documentation. sslcert, which libpq knows under another meaning, is in
     * clean.c. */
    {"connection_limit", PQB_FOREIGN_CAP, ""},
    {"pool_timeout", PQB_FOREIGN_WAIT_SECONDS, ""},
    {"socket_timeout", PQB_FOREIGN_TIMEOUT, ""},
    {"schema", PQB_FOREIGN_SCHEMA, ""},
    {"pgbouncer", PQB_FOREIGN_POOLER, ""},
    {"sslaccept", PQB_FOREIGN_SSLACCEPT, ""},
    {"sslidentity", PQB_FOREIGN_DROPPED, ""},
    {"statement_cache_size", PQB_FOREIGN_DROPPED, ""},
    {"max_connection_lifetime", PQB_FOREIGN_DROPPED, ""},
    {"max_idle_connection_lifetime", PQB_FOREIGN_DROPPED, ""},
    {"single_use_connections", PQB_FOREIGN_DROPPED, ""},

    /* SQLAlchemy: "Engine Configuration" (what engine_from_config takes out of a URL or a file) and
     * "PostgreSQL", the dialects of psycopg2, psycopg, asyncpg and pg8000. */
    {"pool_size", PQB_FOREIGN_DROPPED, ""},
    {"max_overflow", PQB_FOREIGN_DROPPED, ""},
    {"pool_recycle", PQB_FOREIGN_DROPPED, ""},
    {"pool_pre_ping", PQB_FOREIGN_DROPPED, ""},
    {"pool_use_lifo", PQB_FOREIGN_DROPPED, ""},
    {"pool_reset_on_return", PQB_FOREIGN_DROPPED, ""},
    {"pool_logging_name", PQB_FOREIGN_DROPPED, ""},
    {"echo", PQB_FOREIGN_DROPPED, ""},
    {"echo_pool", PQB_FOREIGN_DROPPED, ""},
    {"future", PQB_FOREIGN_DROPPED, ""},
    {"plugin", PQB_FOREIGN_DROPPED, ""},
    {"async_fallback", PQB_FOREIGN_DROPPED, ""},
    {"prepared_statement_cache_size", PQB_FOREIGN_DROPPED, ""},
    {"prepared_statement_name_func", PQB_FOREIGN_DROPPED, ""},
    {"executemany_mode", PQB_FOREIGN_DROPPED, ""},
    {"executemany_batch_page_size", PQB_FOREIGN_DROPPED, ""},
    {"executemany_values_page_size", PQB_FOREIGN_DROPPED, ""},
    {"use_native_hstore", PQB_FOREIGN_DROPPED, ""},
    {"use_native_unicode", PQB_FOREIGN_DROPPED, ""},
    {"prepare_threshold", PQB_FOREIGN_DROPPED, ""}, /* of psycopg */
    {"autocommit", PQB_FOREIGN_DROPPED, ""},
    {"tcp_keepalive", PQB_FOREIGN_DROPPED, ""}, /* of pg8000 */

    /* Rails: "Configuring Rails Applications, Configuring a Database"; activerecord's
     * connection_adapters/abstract/connection_pool.rb and postgresql_adapter.rb. */
    {"pool", PQB_FOREIGN_CAP_OR_NOT, ""},
    {"max_connections", PQB_FOREIGN_CAP_OR_NOT, ""}, /* 8.1's word for it */
    {"min_connections", PQB_FOREIGN_DROPPED, ""},
    {"checkout_timeout", PQB_FOREIGN_WAIT_SECONDS, ""},
    {"schema_search_path", PQB_FOREIGN_PATH, ""},
    {"statement_timeout", PQB_FOREIGN_SETTING, ""},
    {"lock_timeout", PQB_FOREIGN_SETTING, ""},
    {"prepared_statements", PQB_FOREIGN_DROPPED, ""},
    {"statement_limit", PQB_FOREIGN_DROPPED, ""},
    {"advisory_locks", PQB_FOREIGN_DROPPED, ""},
    {"reaping_frequency", PQB_FOREIGN_DROPPED, ""},
    {"idle_timeout", PQB_FOREIGN_DROPPED, ""},
    {"keepalive", PQB_FOREIGN_DROPPED, ""},
    {"max_age", PQB_FOREIGN_DROPPED, ""},
    {"pool_jitter", PQB_FOREIGN_DROPPED, ""},
    {"min_messages", PQB_FOREIGN_DROPPED, ""},
    {"insert_returning", PQB_FOREIGN_DROPPED, ""},
    {"encoding", PQB_FOREIGN_DROPPED, ""},
    {"adapter", PQB_FOREIGN_DROPPED, ""},
    {"migrations_paths", PQB_FOREIGN_DROPPED, ""},
    {"database_tasks", PQB_FOREIGN_DROPPED, ""},
    {"schema_dump", PQB_FOREIGN_DROPPED, ""},
    {"schema_cache_path", PQB_FOREIGN_DROPPED, ""},
    {"use_metadata_table", PQB_FOREIGN_DROPPED, ""},
    {"query_cache", PQB_FOREIGN_DROPPED, ""},
    {"retry_deadline", PQB_FOREIGN_DROPPED, ""},
    {"connection_retries", PQB_FOREIGN_DROPPED, ""},
    {"verify_timeout", PQB_FOREIGN_DROPPED, ""},

    /* Django: dj-database-url's README (currentSchema, and its arguments) and django-environ's
     * _DB_BASE_OPTIONS; "Settings, DATABASES". */
    {"currentSchema", PQB_FOREIGN_PATH, ""},
    {"search_path", PQB_FOREIGN_PATH, ""},
    {"conn_max_age", PQB_FOREIGN_DROPPED, ""},
    {"conn_health_checks", PQB_FOREIGN_DROPPED, ""},
    {"disable_server_side_cursors", PQB_FOREIGN_DROPPED, ""},
    {"engine", PQB_FOREIGN_DROPPED, ""},
    {"ssl_require", PQB_FOREIGN_HARMLESS, "false False 0"},
    {"CONN_MAX_AGE", PQB_FOREIGN_DROPPED, ""},
    {"CONN_HEALTH_CHECKS", PQB_FOREIGN_DROPPED, ""},
    {"ATOMIC_REQUESTS", PQB_FOREIGN_DROPPED, ""},
    {"AUTOCOMMIT", PQB_FOREIGN_DROPPED, ""},
    {"DISABLE_SERVER_SIDE_CURSORS", PQB_FOREIGN_DROPPED, ""},

    /* pgx: ParseConfig of pgxpool/pool.go and of conn.go, the latter with v4's words too. */
    {"pool_max_conns", PQB_FOREIGN_CAP, ""},
    {"pool_min_conns", PQB_FOREIGN_DROPPED, ""},
    {"pool_min_idle_conns", PQB_FOREIGN_DROPPED, ""},
    {"pool_max_conn_lifetime", PQB_FOREIGN_DROPPED, ""},
    {"pool_max_conn_lifetime_jitter", PQB_FOREIGN_DROPPED, ""},
    {"pool_max_conn_idle_time", PQB_FOREIGN_DROPPED, ""},
    {"pool_health_check_period", PQB_FOREIGN_DROPPED, ""},
    {"pool_ping_timeout", PQB_FOREIGN_DROPPED, ""},
    {"default_query_exec_mode", PQB_FOREIGN_DROPPED, ""},
    {"statement_cache_capacity", PQB_FOREIGN_DROPPED, ""},
    {"description_cache_capacity", PQB_FOREIGN_DROPPED, ""},
    {"statement_cache_mode", PQB_FOREIGN_DROPPED, ""},
    {"prefer_simple_protocol", PQB_FOREIGN_DROPPED, ""},
    {"min_read_buffer_size", PQB_FOREIGN_DROPPED, ""},

    /* pgjdbc: org/postgresql/PGProperty.java, "Connection Parameters". Not here on purpose:
     * sslfactory and its neighbours, sslhostnameverifier, sslNegotiation,
     * authenticationPluginClassName, krb and gss names. */
    {"ApplicationName", PQB_FOREIGN_NAME, ""},
    {"connectTimeout", PQB_FOREIGN_CONNECT_TIMEOUT, ""},
    {"loginTimeout", PQB_FOREIGN_CONNECT_TIMEOUT, ""},
    {"socketTimeout", PQB_FOREIGN_DROPPED, ""},
    {"queryTimeout", PQB_FOREIGN_DROPPED, ""},
    {"cancelSignalTimeout", PQB_FOREIGN_DROPPED, ""},
    {"sslResponseTimeout", PQB_FOREIGN_DROPPED, ""},
    {"gssResponseTimeout", PQB_FOREIGN_DROPPED, ""},
    {"adaptiveFetch", PQB_FOREIGN_DROPPED, ""},
    {"adaptiveFetchMaximum", PQB_FOREIGN_DROPPED, ""},
    {"adaptiveFetchMinimum", PQB_FOREIGN_DROPPED, ""},
    {"allowEncodingChanges", PQB_FOREIGN_DROPPED, ""},
    {"assumeMinServerVersion", PQB_FOREIGN_DROPPED, ""},
    {"autosave", PQB_FOREIGN_DROPPED, ""},
    {"binaryTransfer", PQB_FOREIGN_DROPPED, ""},
    {"binaryTransferDisable", PQB_FOREIGN_DROPPED, ""},
    {"binaryTransferEnable", PQB_FOREIGN_DROPPED, ""},
    {"cleanupSavepoints", PQB_FOREIGN_DROPPED, ""},
    {"connectThreadFactory", PQB_FOREIGN_DROPPED, ""},
    {"convertBooleanToNumeric", PQB_FOREIGN_DROPPED, ""},
    {"databaseMetadataCacheFields", PQB_FOREIGN_DROPPED, ""},
    {"databaseMetadataCacheFieldsMiB", PQB_FOREIGN_DROPPED, ""},
    {"defaultRowFetchSize", PQB_FOREIGN_DROPPED, ""},
    {"disableColumnSanitiser", PQB_FOREIGN_DROPPED, ""},
    {"escapeSyntaxCallMode", PQB_FOREIGN_DROPPED, ""},
    {"groupStartupParameters", PQB_FOREIGN_DROPPED, ""},
    {"hideUnprivilegedObjects", PQB_FOREIGN_DROPPED, ""},
    {"hostRecheckSeconds", PQB_FOREIGN_DROPPED, ""},
    {"jaasLogin", PQB_FOREIGN_DROPPED, ""},
    {"jaasApplicationName", PQB_FOREIGN_DROPPED, ""},
    {"logServerErrorDetail", PQB_FOREIGN_DROPPED, ""},
    {"logUnclosedConnections", PQB_FOREIGN_DROPPED, ""},
    {"loggerFile", PQB_FOREIGN_DROPPED, ""},
    {"loggerLevel", PQB_FOREIGN_DROPPED, ""},
    {"maxResultBuffer", PQB_FOREIGN_DROPPED, ""},
    {"maxSendBufferSize", PQB_FOREIGN_DROPPED, ""},
    {"preferQueryMode", PQB_FOREIGN_DROPPED, ""},
    {"prepareThreshold", PQB_FOREIGN_DROPPED, ""},
    {"preparedStatementCacheQueries", PQB_FOREIGN_DROPPED, ""},
    {"preparedStatementCacheSizeMiB", PQB_FOREIGN_DROPPED, ""},
    {"protocolVersion", PQB_FOREIGN_DROPPED, ""},
    {"quoteReturningIdentifiers", PQB_FOREIGN_DROPPED, ""},
    {"reWriteBatchedInserts", PQB_FOREIGN_DROPPED, ""},
    {"readOnlyMode", PQB_FOREIGN_DROPPED, ""},
    {"receiveBufferSize", PQB_FOREIGN_DROPPED, ""},
    {"sendBufferSize", PQB_FOREIGN_DROPPED, ""},
    {"scramMaxIterations", PQB_FOREIGN_DROPPED, ""},
    {"stringtype", PQB_FOREIGN_DROPPED, ""},
    {"tcpKeepAlive", PQB_FOREIGN_DROPPED, ""},
    {"tcpNoDelay", PQB_FOREIGN_DROPPED, ""},
    {"unknownLength", PQB_FOREIGN_DROPPED, ""},
    {"xmlFactoryFactory", PQB_FOREIGN_DROPPED, ""},
    {"readOnly", PQB_FOREIGN_HARMLESS, "false"},
    {"loadBalanceHosts", PQB_FOREIGN_HARMLESS, "false"},
    {"targetServerType", PQB_FOREIGN_HARMLESS, "any"},
    {"gssEncMode", PQB_FOREIGN_HARMLESS, "disable allow prefer"},
    {"channelBinding", PQB_FOREIGN_HARMLESS, "disable prefer"},
    {"useSpnego", PQB_FOREIGN_HARMLESS, "false"},

    /* HikariCP, which Java's applications configure beside it: its README, "Configuration". */
    {"maximumPoolSize", PQB_FOREIGN_CAP, ""},
    {"minimumIdle", PQB_FOREIGN_DROPPED, ""},
    {"idleTimeout", PQB_FOREIGN_DROPPED, ""},
    {"maxLifetime", PQB_FOREIGN_DROPPED, ""},
    {"keepaliveTime", PQB_FOREIGN_DROPPED, ""},
    {"connectionTimeout", PQB_FOREIGN_DROPPED, ""},
    {"validationTimeout", PQB_FOREIGN_DROPPED, ""},
    {"leakDetectionThreshold", PQB_FOREIGN_DROPPED, ""},
    {"initializationFailTimeout", PQB_FOREIGN_DROPPED, ""},
    {"poolName", PQB_FOREIGN_DROPPED, ""},
    {"autoCommit", PQB_FOREIGN_DROPPED, ""},

    /* asyncpg: connect() and create_pool() in its API reference. Not here: direct_tls. */
    {"max_size", PQB_FOREIGN_CAP, ""},
    {"min_size", PQB_FOREIGN_DROPPED, ""},
    {"command_timeout", PQB_FOREIGN_TIMEOUT, ""},
    {"timeout", PQB_FOREIGN_DROPPED, ""},
    {"max_queries", PQB_FOREIGN_DROPPED, ""},
    {"max_inactive_connection_lifetime", PQB_FOREIGN_DROPPED, ""},
    {"max_cached_statement_lifetime", PQB_FOREIGN_DROPPED, ""},
    {"max_cacheable_statement_size", PQB_FOREIGN_DROPPED, ""},

    /* node-postgres: pg-connection-string's index.js, "pg.Client" and "pg.Pool". */
    {"ssl", PQB_FOREIGN_SSL, ""},
    {"max", PQB_FOREIGN_CAP_OR_NOT, ""},
    {"min", PQB_FOREIGN_DROPPED, ""},
    {"connectionTimeoutMillis", PQB_FOREIGN_WAIT_MS, ""},
    {"idle_in_transaction_session_timeout", PQB_FOREIGN_SETTING, ""},
    {"idle_session_timeout", PQB_FOREIGN_SETTING, ""},
    {"uselibpqcompat", PQB_FOREIGN_DROPPED, ""},
    {"query_timeout", PQB_FOREIGN_DROPPED, ""},
    {"idleTimeoutMillis", PQB_FOREIGN_DROPPED, ""},
    {"maxUses", PQB_FOREIGN_DROPPED, ""},
    {"maxLifetimeSeconds", PQB_FOREIGN_DROPPED, ""},
    {"allowExitOnIdle", PQB_FOREIGN_DROPPED, ""},
    {"keepAlive", PQB_FOREIGN_DROPPED, ""},
    {"keepAliveInitialDelayMillis", PQB_FOREIGN_DROPPED, ""},
    {"binary", PQB_FOREIGN_DROPPED, ""},

    /* Npgsql: "Connection String Parameters", with and without their blanks. Not here: SSL Mode,
     * Root Certificate, Check Certificate Revocation, Channel Binding, Require Auth, Target Session
     * Attributes. */
    {"Maximum Pool Size", PQB_FOREIGN_CAP, ""},
    {"MaxPoolSize", PQB_FOREIGN_CAP, ""},
    {"Minimum Pool Size", PQB_FOREIGN_DROPPED, ""},
    {"MinPoolSize", PQB_FOREIGN_DROPPED, ""},
    {"Pooling", PQB_FOREIGN_DROPPED, ""},
    {"Connection Idle Lifetime", PQB_FOREIGN_DROPPED, ""},
    {"ConnectionIdleLifetime", PQB_FOREIGN_DROPPED, ""},
    {"Connection Pruning Interval", PQB_FOREIGN_DROPPED, ""},
    {"ConnectionPruningInterval", PQB_FOREIGN_DROPPED, ""},
    {"Connection Lifetime", PQB_FOREIGN_DROPPED, ""},
    {"ConnectionLifetime", PQB_FOREIGN_DROPPED, ""},
    {"Command Timeout", PQB_FOREIGN_DROPPED, ""},
    {"CommandTimeout", PQB_FOREIGN_DROPPED, ""},
    {"Internal Command Timeout", PQB_FOREIGN_DROPPED, ""},
    {"InternalCommandTimeout", PQB_FOREIGN_DROPPED, ""},
    {"Cancellation Timeout", PQB_FOREIGN_DROPPED, ""},
    {"CancellationTimeout", PQB_FOREIGN_DROPPED, ""},
    {"Timeout", PQB_FOREIGN_CONNECT_TIMEOUT, ""},
    {"Application Name", PQB_FOREIGN_NAME, ""},
    {"Search Path", PQB_FOREIGN_PATH, ""},
    {"SearchPath", PQB_FOREIGN_PATH, ""},
    {"Trust Server Certificate", PQB_FOREIGN_HARMLESS, "true True"},
    {"TrustServerCertificate", PQB_FOREIGN_HARMLESS, "true True"},
    {"Load Balance Hosts", PQB_FOREIGN_HARMLESS, "false False"},
    {"LoadBalanceHosts", PQB_FOREIGN_HARMLESS, "false False"},
    {"Host Recheck Seconds", PQB_FOREIGN_DROPPED, ""},
    {"HostRecheckSeconds", PQB_FOREIGN_DROPPED, ""},
    {"Include Error Detail", PQB_FOREIGN_DROPPED, ""},
    {"IncludeErrorDetail", PQB_FOREIGN_DROPPED, ""},
    {"Include Failed Batched Command", PQB_FOREIGN_DROPPED, ""},
    {"IncludeFailedBatchedCommand", PQB_FOREIGN_DROPPED, ""},
    {"Log Parameters", PQB_FOREIGN_DROPPED, ""},
    {"LogParameters", PQB_FOREIGN_DROPPED, ""},
    {"Persist Security Info", PQB_FOREIGN_DROPPED, ""},
    {"PersistSecurityInfo", PQB_FOREIGN_DROPPED, ""},
    {"Keepalive", PQB_FOREIGN_DROPPED, ""},
    {"Tcp Keepalive", PQB_FOREIGN_DROPPED, ""},
    {"TcpKeepAlive", PQB_FOREIGN_DROPPED, ""},
    {"Tcp Keepalive Time", PQB_FOREIGN_DROPPED, ""},
    {"TcpKeepAliveTime", PQB_FOREIGN_DROPPED, ""},
    {"Tcp Keepalive Interval", PQB_FOREIGN_DROPPED, ""},
    {"TcpKeepAliveInterval", PQB_FOREIGN_DROPPED, ""},
    {"Max Auto Prepare", PQB_FOREIGN_DROPPED, ""},
    {"MaxAutoPrepare", PQB_FOREIGN_DROPPED, ""},
    {"Auto Prepare Min Usages", PQB_FOREIGN_DROPPED, ""},
    {"AutoPrepareMinUsages", PQB_FOREIGN_DROPPED, ""},
    {"Read Buffer Size", PQB_FOREIGN_DROPPED, ""},
    {"ReadBufferSize", PQB_FOREIGN_DROPPED, ""},
    {"Write Buffer Size", PQB_FOREIGN_DROPPED, ""},
    {"WriteBufferSize", PQB_FOREIGN_DROPPED, ""},
    {"Socket Receive Buffer Size", PQB_FOREIGN_DROPPED, ""},
    {"SocketReceiveBufferSize", PQB_FOREIGN_DROPPED, ""},
    {"Socket Send Buffer Size", PQB_FOREIGN_DROPPED, ""},
    {"SocketSendBufferSize", PQB_FOREIGN_DROPPED, ""},
    {"No Reset On Close", PQB_FOREIGN_DROPPED, ""},
    {"NoResetOnClose", PQB_FOREIGN_DROPPED, ""},
    {"Array Nullability Mode", PQB_FOREIGN_DROPPED, ""},
    {"ArrayNullabilityMode", PQB_FOREIGN_DROPPED, ""},
    {"Enlist", PQB_FOREIGN_DROPPED, ""},
    {"Multiplexing", PQB_FOREIGN_DROPPED, ""},
    {"Write Coalescing Buffer Threshold Bytes", PQB_FOREIGN_DROPPED, ""},
    {"WriteCoalescingBufferThresholdBytes", PQB_FOREIGN_DROPPED, ""},
    {"Server Compatibility Mode", PQB_FOREIGN_DROPPED, ""},
    {"ServerCompatibilityMode", PQB_FOREIGN_DROPPED, ""},
};

const struct pqb_foreign *pqb_foreign_find(const char *keyword)
{
    static const struct pqb_foreign unknown = {"", PQB_FOREIGN_UNKNOWN, ""};
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        if (!strcmp(list[i].keyword, keyword))
            return &list[i];
    return &unknown;
}

static size_t match(const char *text, const char *word)
{
    size_t length = strlen(word);
    return strncmp(text, word, length) ? 0 : length;
}

size_t pqb_foreign_scheme(const char *text, int *is_libpqs)
{
    /* SQLAlchemy has a driver behind a plus sign; dj-database-url and Rails have postgis, pgsql and
     * timescale. Not redshift and cockroachdb: libpq would take the wrong port for their default.
     */
    static const char bases[][16] = {"postgresql", "postgres",  "postgis",
                                     "pgsql",      "timescale", "timescalegis"};
    size_t java = match(text, "jdbc:");
    for (size_t i = 0; i < sizeof bases / sizeof *bases; i++) {
        size_t base = match(text + java, bases[i]), driver = 0;
        const char *rest = text + java + base;
        if (!base)
            continue;
        if (*rest == '+')
            driver = 1 + strspn(rest + 1, "abcdefghijklmnopqrstuvwxyz0123456789_-");
        size_t end = match(rest + driver, "://");
        if (!end || driver == 1)
            continue;
        *is_libpqs = !java && !driver && i < 2;
        return java + base + driver + end;
    }
    *is_libpqs = 0;
    return 0;
}

int pqb_foreign_is_own_program(const char *program)
{
    static const char own[][24] = {
        "psql",          "pg_dump",
        "pg_dumpall",    "pg_restore",
        "pgbench",       "vacuumdb",
        "reindexdb",     "clusterdb",
        "createdb",      "dropdb",
        "createuser",    "dropuser",
        "pg_isready",    "pg_basebackup",
        "pg_receivewal", "pg_recvlogical",
        "pg_amcheck",    "pg_rewind",
        "pg_upgrade",    "oid2name",
        "vacuumlo",      "pg_createsubscriber",
        "pg_checksums",
    };
    const char *slash = program ? strrchr(program, '/') : NULL;
    const char *name = slash ? slash + 1 : program;
    for (size_t i = 0; name && i < sizeof own / sizeof *own; i++)
        if (!strcmp(name, own[i]))
            return 1;
    return 0;
}
